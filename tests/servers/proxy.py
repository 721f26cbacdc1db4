"""An HTTP proxy that fails on command, between a client under test and a real server.

The Host header goes through unchanged, so that signatures stay valid. It runs in a thread of the
test's own process: rules are added and the log is read by plain calls.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
}
_CHUNK = 64 * 1024


@dataclass
class Rule:
    """What to do to which requests. The first rule that matches a request is the one applied to it.

    Args:
        method: `PUT`, or `PUT|POST`; any when left out.
        path: a regular expression to be found in the path with its query.
        headers: each must be there and contain the text given.
        skip: let that many matching requests pass first.
        times: how many to apply it to; every one when None.
        status: answer so, with error `code` as S3 and Azure put it, without asking the server.
        body: the text of that answer, for other servers.
        delay: seconds to wait first.
        drop: cut the connection `before` the server hears of the request, or `after` it has carried it
            out: a committed write whose reply is lost.
        hang: take the request, and never answer.
        cut: cut the connection after that many bytes of the answer's body.
        corrupt: flip a bit of the first byte of the answer's body.
        garble: flip a bit of the byte at that offset of the request's body.
        answer: headers to put into the answer, in place of the server's own.
        omit: a regular expression: what it matches is left out of the answer's body.
    """

    method: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    skip: int = 0
    times: int | None = 1
    status: int = 0
    code: str = "InternalError"
    body: str = ""
    delay: float = 0.0
    drop: Literal["", "before", "after"] = ""
    hang: bool = False
    cut: int | None = None
    corrupt: bool = False
    garble: int | None = None
    answer: Mapping[str, str] = field(default_factory=dict)
    omit: str = ""

    def matches(self, request: web.Request) -> bool:
        return (
            (not self.method or request.method in self.method.split("|"))
            and re.search(self.path, request.raw_path) is not None
            and all(text in request.headers.get(name, "\0") for name, text in self.headers.items())
        )


@dataclass
class Seen:
    """One request that came in. `status` is 0 when no answer was given."""

    method: str
    path: str
    status: int = 0
    received: int = 0
    sent: int = 0


class FaultProxy:
    """Listens on a free loopback port between `with` and its end, in front of `upstream` (a URL).

    `whole`: the server sees a request only when all of it has come in.
    """

    def __init__(self, upstream: str, *, whole: bool = False) -> None:
        self._upstream = upstream
        self._whole = whole
        self._lock = threading.Lock()
        self._rules: list[Rule] = []
        self._log: list[Seen] = []
        self.line = 0.0
        """Bytes in a second that all bodies share, in each direction; 0 is no limit."""
        self.busiest = 0
        """How many requests with a body were sent at once since `reset`, at most."""
        self._sending = 0
        self._free_at = {"up": 0.0, "down": 0.0}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add(self, rule: Rule) -> None:
        with self._lock:
            self._rules.append(rule)

    def fail(self, **rule: Any) -> None:
        """As `add`, for suites that do not know `Rule`."""
        self.add(Rule(**rule))

    def reset(self) -> None:
        """Forget all rules and the log; the line is fast again."""
        with self._lock:
            self._rules.clear()
            self._log.clear()
        self.line = 0.0
        self.busiest = 0

    @property
    def log(self) -> list[Seen]:
        """Every request since `reset`, in order of arrival."""
        with self._lock:
            return [*self._log]

    async def _open(self) -> None:
        self._client = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3),
        )
        application = web.Application(client_max_size=0)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,
            shutdown_timeout=0.1,
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self._client.close()

    def _record(self, request: web.Request) -> tuple[Seen, Rule]:
        seen = Seen(request.method, request.raw_path)
        with self._lock:
            self._log.append(seen)
            for rule in self._rules:
                if rule.times == 0 or not rule.matches(request):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return seen, rule
        return seen, Rule()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        seen, rule = self._record(request)
        await asyncio.sleep(rule.delay)
        if rule.hang:
            await request.read()
            await asyncio.Event().wait()
        if rule.status:
            return await self._refuse(request, seen, rule)
        if rule.drop == "before":
            return _cut_off(request)
        self._sending += request.body_exists
        self.busiest = max(self.busiest, self._sending)
        try:
            forwarded = await self._forward(request, seen, rule)
        finally:
            self._sending -= request.body_exists
        async with forwarded as answer:
            if rule.drop == "after":
                await answer.read()
                return _cut_off(request)
            return await self._pass_back(request, answer, seen, rule)

    async def _refuse(self, request: web.Request, seen: Seen, rule: Rule) -> web.StreamResponse:
        async for chunk in request.content.iter_chunked(_CHUNK):  # as real servers do, or clients see a reset
            seen.received += len(chunk)
        seen.status = rule.status
        body = rule.body or f"<Error><Code>{rule.code}</Code><Message>injected</Message></Error>"
        headers = {"x-ms-error-code": rule.code, **rule.answer}  # all that Azure's HEAD says
        return web.Response(status=rule.status, text=body, headers=headers, content_type="application/xml")

    async def _pass(self, size: int, way: str) -> None:
        """Take as long as so many bytes take on the line."""
        if self.line:
            now = asyncio.get_running_loop().time()
            self._free_at[way] = max(now, self._free_at[way]) + size / self.line
            await asyncio.sleep(self._free_at[way] - now)

    async def _forward(self, request: web.Request, seen: Seen, rule: Rule) -> aiohttp.ClientResponse:
        async def body() -> AsyncIterator[bytes]:
            async for chunk in request.content.iter_chunked(_CHUNK):
                position = -1 if rule.garble is None else rule.garble - seen.received
                seen.received += len(chunk)
                await self._pass(len(chunk), "up")
                if 0 <= position < len(chunk):
                    chunk = chunk[:position] + bytes([chunk[position] ^ 1]) + chunk[position + 1 :]  # noqa: PLW2901
                yield chunk

        if self._whole:
            return await self._send(request, b"".join([chunk async for chunk in body()]))
        return await self._send(request, body() if request.body_exists else None)

    async def _send(self, request: web.Request, body: Any) -> aiohttp.ClientResponse:
        return await self._client.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=_end_to_end(request.raw_headers),
            data=body,
            allow_redirects=False,
            skip_auto_headers=["User-Agent", "Accept", "Accept-Encoding", "Content-Type"],
        )

    async def _pass_back(
        self, request: web.Request, answer: aiohttp.ClientResponse, seen: Seen, rule: Rule
    ) -> web.StreamResponse:
        seen.status = answer.status
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.raw_headers))
        response.headers.update(rule.answer)
        if rule.omit:
            body = re.sub(rule.omit.encode(), b"", await answer.read(), flags=re.DOTALL)
            response.headers.popall("Content-Length", None)
            return web.Response(status=answer.status, headers=response.headers, body=body)
        await response.prepare(request)
        if request.method != "HEAD":
            async for chunk in answer.content.iter_chunked(_CHUNK):
                if rule.corrupt and seen.sent == 0:
                    chunk = bytes([chunk[0] ^ 1]) + chunk[1:]  # noqa: PLW2901 - the point of it
                if rule.cut is not None and seen.sent + len(chunk) > rule.cut:
                    await response.write(chunk[: rule.cut - seen.sent])
                    return _cut_off(request)
                await self._pass(len(chunk), "down")
                await response.write(chunk)
                seen.sent += len(chunk)
        await response.write_eof()
        return response


def _end_to_end(raw: tuple[tuple[bytes, bytes], ...]) -> list[tuple[str, str]]:
    headers = [(name.decode(), value.decode()) for name, value in raw]
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def _cut_off(request: web.Request) -> web.StreamResponse:
    if request.transport:
        request.transport.abort()
    return web.Response(status=499)  # goes nowhere
