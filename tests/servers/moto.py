"""moto: an S3 server in Python, the second, independent one; its error dialect is that of AWS."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Mapping

from tests.servers.process import ServerError, ServerProcess, free_ports

# moto makes an ETag at its first use, from a file that a second request may be reading: without its own lock
# around it, one answer in some thousands names an ETag that the object does not have.
START = """
import sys
from moto.s3.models import FakeKey
from moto.server import main

etag = FakeKey.etag.fget

def locked(key):
    with key.lock:
        return etag(key)

FakeKey.etag = property(locked)
main(sys.argv[1:])
"""


class Moto(ServerProcess):
    """One `moto_server`."""

    name = "moto"
    ready_within = 60.0  # most of it is importing

    def __init__(self) -> None:
        self.access_key = secrets.token_hex(10)
        self.secret_key = secrets.token_hex(20)

    def command(self) -> list[str]:
        (self.port,) = free_ports(1)
        if importlib.util.find_spec("moto") is None:
            raise ServerError("there is no moto: pip install 'moto[server,s3]'")
        return [sys.executable, "-c", START, "-H", "127.0.0.1", "-p", str(self.port)]

    def environ(self) -> Mapping[str, str]:
        return {"TMPDIR": str(self.folder)}  # where it spills large bodies

    def is_ready(self) -> bool:
        return self.answers("/moto-api/")
