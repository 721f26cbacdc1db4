"""A real network on loopback: a TCP proxy that lets each connection carry 25 MB/s, and adds latency.

A process of its own: `python -m benchmarks.link UPSTREAM_PORT BYTES_PER_SECOND LATENCY` prints its port.
Latency is that of the round trip: each direction is late by half of it.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RATE = 25e6
LATENCY = 0.020
_ROOM = 1 << 20  # bytes on the way; more than rate x latency


class _End(asyncio.Protocol):
    """One end of a connection: what arrives here goes to the `peer`, late and not too fast."""

    def __init__(self, rate: float, latency: float, upstream_port: int = 0) -> None:
        self._rate, self._delay, self._upstream_port = rate, latency / 2, upstream_port
        self._loop = asyncio.get_running_loop()
        self._free_at = 0.0
        self._on_the_way = 0
        self._waiting: list[bytes] = []
        self.peer: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._upstream_port:
            self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        peer = _End(self._rate, self._delay * 2)
        peer.peer = self
        await self._loop.create_connection(lambda: peer, "127.0.0.1", self._upstream_port)
        self.peer = peer
        for chunk in self._waiting:
            self._send(chunk)

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            self._waiting.append(data)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        self._free_at = max(self._free_at, self._loop.time()) + len(data) / self._rate
        self._on_the_way += len(data)
        if self._on_the_way > _ROOM:
            self.transport.pause_reading()
        self._loop.call_at(self._free_at + self._delay, self._arrive, data)

    def _arrive(self, data: bytes) -> None:
        assert self.peer
        self._on_the_way -= len(data)
        if not self.peer.transport.is_closing():
            self.peer.transport.write(data)
        if self._on_the_way <= _ROOM and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self.peer:
            self._loop.call_at(
                max(self._free_at, self._loop.time()) + self._delay + 0.001, self.peer.transport.close
            )


async def _serve(upstream_port: int, rate: float, latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _End(rate, latency, upstream_port), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def link(upstream_port: int, rate: float = RATE, latency: float = LATENCY) -> Iterator[int]:
    """The port of such a proxy in front of `upstream_port`."""
    command = [sys.executable, "-m", "benchmarks.link", str(upstream_port), str(rate), str(latency)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def capacity(connections: int = 16, rate: float = 1e12, seconds: float = 2.0) -> float:
    """Bytes a second that the proxy itself carries, over so many connections, to a sink that only counts."""
    counted = [0] * connections
    stop = threading.Event()

    def drain(number: int, connection: socket.socket) -> None:
        buffer = bytearray(1 << 20)
        with connection:
            while count := connection.recv_into(buffer):
                counted[number] += count

    def push(port: int) -> None:
        block = bytes(1 << 20)
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
            while not stop.is_set():  # or until the proxy is gone
                connection.sendall(block)

    with (
        socket.create_server(("127.0.0.1", 0), backlog=connections) as sink,
        link(sink.getsockname()[1], rate) as port,
    ):
        for _ in range(connections):
            threading.Thread(target=push, args=(port,), daemon=True).start()
        for number in range(connections):
            connection, _ = sink.accept()
            threading.Thread(target=drain, args=(number, connection), daemon=True).start()
        time.sleep(0.5)
        before, began = sum(counted), time.perf_counter()
        time.sleep(seconds)
        carried = (sum(counted) - before) / (time.perf_counter() - began)
        stop.set()
    return carried


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
