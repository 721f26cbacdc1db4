"""moto: an S3 server in Python, the second, independent one; its error dialect is that of AWS."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from tests.servers.process import ServerProcess, free_ports, program


class Moto(ServerProcess):
    """One `moto_server`."""

    name = "moto"
    ready_within = 60.0  # most of it is importing

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def command(self) -> list[str]:
        (self.port,) = free_ports(1)
        return [program("moto_server", "moto[server,s3]"), "-H", "127.0.0.1", "-p", str(self.port)]

    def environ(self) -> Mapping[str, str]:
        return {"TMPDIR": str(self.folder)}  # where it spills large bodies

    def is_ready(self) -> bool:
        return self.answers("/moto-api/")
