"""A proxy for `HTTPS_PROXY` that answers in the name of a cloud's own hosts, with a server of ours behind it.

So a client that is given no endpoint, and goes to `https://<account>.blob.core.windows.net`, meets an
emulator all the same: by two variables of its environment (`environ`), and with nothing in it replaced.
"""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class TlsTunnel:
    """Up between `with` and its end; `asked` are the `host:port` that clients wanted to go to.

    Args:
        hosts: a name or `*.name`, which the certificate is for.
        port: of the server on loopback, which is spoken to in plain HTTP.
    """

    def __init__(self, hosts: str, port: int) -> None:
        self._hosts = hosts
        self._behind = ("127.0.0.1", port)
        self.asked: list[str] = []

    def __enter__(self) -> TlsTunnel:
        self._folder = tempfile.TemporaryDirectory(prefix="ckptptr-tunnel-")
        certificate = Path(self._folder.name, "certificate.pem")
        certificate.write_bytes(_certificate(self._hosts))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                tunnel.asked.append(self.rfile.readline().split()[1].decode())
                while self.rfile.readline().strip():
                    pass  # the headers of CONNECT
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with (
                    context.wrap_socket(self.request, server_side=True) as client,
                    socket.create_connection(tunnel._behind) as server,
                ):
                    _pump(client, server)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.environ: Mapping[str, str] = {
            "HTTPS_PROXY": f"http://127.0.0.1:{self._server.server_address[1]}",
            "SSL_CERT_FILE": str(certificate),
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._folder.cleanup()


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    """Hand on what either says, until one of them hangs up."""
    while True:
        ready: list[Any] = [client] if client.pending() else select.select([client, server], [], [])[0]
        for source in ready:
            try:
                data = source.recv(64 * 1024)
                (server if source is client else client).sendall(data)
            except (OSError, ValueError):
                return
            if not data:
                return


def _certificate(hosts: str) -> bytes:
    """A key and a certificate that is its own authority, as PEM, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ckptptr tests")])
    now = datetime.now(timezone.utc)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hosts)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return secret + certificate.public_bytes(pem)
