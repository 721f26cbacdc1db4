"""Single S3 requests through an s3fs filesystem: its credentials, endpoint, settings and event loop.

s3fs's own methods send more requests than asked for, cache listings, and drop parameters that the
installed SDK does not know, `IfMatch` among them. So the SDK's client underneath is called, which
retries by itself (five tries, as botocore does) and refuses what it does not know.

Some servers refuse requests that carry `x-amz-checksum-*`. botocore has a switch for them, which is honoured.
It is also turned off here when a server refuses: then `Content-MD5` takes the place of the checksum.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import Coroutine, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar
from urllib.parse import unquote

import fsspec.asyn
from botocore.exceptions import ClientError

from ckptptr.clock import Patience
from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.line import LONG, SMALL, Line
from ckptptr.stores.port import UnsupportedError
from ckptptr.stores.s3.errors import translated
from ckptptr.stores.sdk import Body, Client, beginning, patiently

_CARRIES, _ASKS_FOR, _OFF = "request_checksum_calculation", "response_checksum_validation", "when_required"
"""botocore's switches, for requests that carry a checksum and those that ask for one; how they are off."""

PATIENCE = Patience(at_most=60.0)
"""Of an upload that others overtook. For all else the SDK has a patience of its own."""

_log = logging.getLogger("ckptptr.stores")
_T = TypeVar("_T")


_is_watched: ContextVar[bool] = ContextVar("ckptptr_is_watched", default=False)
"""Whether the line ends the request if it takes too long."""


def _wait_longer(context: Any, **_: Any) -> None:
    """So the SDK's own limit does not end it. Old versions of aiobotocore do not know that."""
    if _is_watched.get():
        context["read_timeout"] = LONG


def part_of(answer: Mapping[str, Any], name: str, key: str) -> Any:
    """What the answer has under that name. A store's answers have it, those of something in between do not.

    Raises:
        StoreUnavailableError: it has none.
    """
    if name not in answer:
        raise StoreUnavailableError(f"the answer has no {name}", key=f"s3://{key}")
    return answer[name]


def takes_checksums(config: Any) -> bool:
    """Whether to send checksums: as the switch says in a client's configuration, or the server has shown."""
    return getattr(config, _CARRIES, "") != _OFF


class S3Client(Client):
    """Requests to S3."""

    def __init__(self, filesystem: Any, line: Line | None = None) -> None:
        super().__init__(filesystem)
        self.line = line or Line(filesystem.config_kwargs.get("read_timeout") or filesystem.read_timeout)

    def endpoint(self) -> str:
        """The URL that requests go to. Sends none."""

        async def resolved() -> str:
            with translated("connect", ""):
                filesystem = self._filesystem
                await filesystem.set_session()
                url: str = filesystem.s3.meta.endpoint_url
                return url

        found: str = fsspec.asyn.sync(self._filesystem.loop, resolved)
        return found

    def _known_endpoint(self) -> str:
        """As `endpoint`, for messages: empty where no client was made yet."""
        client = getattr(self._filesystem, "_s3", None)
        return str(client.meta.endpoint_url) if client is not None else ""

    def call(self, operation: str, key: str, **parameters: Any) -> dict[str, Any]:
        """Send one request about `bucket/path` and wait for the answer. Raises our errors only.

        An answer's `Body` has been read to its end: it is bytes.
        """
        answer: dict[str, Any] = fsspec.asyn.sync(
            self._filesystem.loop, self.send, operation, key, **parameters
        )
        return answer

    def put(self, key: str, body: bytes, **parameters: Any) -> dict[str, Any]:
        """Write an object in one request."""
        answer: dict[str, Any] = fsspec.asyn.sync(
            self._filesystem.loop, self.send_payload, "put_object", key, body, **parameters
        )
        return answer

    def start(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Let a coroutine around `send` run, and do not wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._filesystem.loop)

    async def send_payload(self, operation: str, key: str, body: bytes, **parameters: Any) -> dict[str, Any]:
        """As `send`, of bytes that have the time that they need on the line."""
        if len(body) <= SMALL:
            return await self.send(operation, key, Body=body, **parameters)

        async def request() -> dict[str, Any]:
            _is_watched.set(True)
            return await self.send(operation, key, Body=body, **parameters)

        async def attempt() -> dict[str, Any]:
            with translated(operation, f"s3://{key}", self._known_endpoint):
                return await self.line.sent(len(body), request(), partial(self.send, "head_object", key))

        return await patiently(PATIENCE, attempt)

    async def send(
        self, operation: str, key: str, *, at_most: int | None = None, once: bool = False, **parameters: Any
    ) -> dict[str, Any]:
        """As `call`, on the filesystem's event loop.

        A checksum among the parameters is left out where botocore's switch is off, or the server refuses it.

        Args:
            at_most: of a larger body only this many bytes are read.
            once: what the store refuses is not tried again; the SDK takes some refusals for passing failures.
        """
        with translated(operation, f"s3://{key}", self._known_endpoint):
            await self._filesystem.set_session()
            client = await self._filesystem.get_s3(key.partition("/")[0])
        send = partial(self._send, client, operation, key, at_most=at_most, once=once)
        if operation != "get_object" and "ChecksumAlgorithm" not in parameters:
            return await send(parameters)
        config, switch = client.meta.config, _ASKS_FOR if operation == "get_object" else _CARRIES
        before = getattr(config, switch, "")
        if before == _OFF:
            return await send(await _unchecked(parameters))
        try:
            return await send(parameters)
        except UnsupportedError:
            setattr(config, switch, _OFF)  # of what botocore adds by itself, too
        try:
            answer = await send(await _unchecked(parameters))
        except BaseException:
            setattr(config, switch, before)  # it was something else
            raise
        _log.info("s3://%s takes no checksums: none is sent any more", key.partition("/")[0])
        return answer

    async def _send(
        self,
        client: Any,
        operation: str,
        key: str,
        parameters: dict[str, Any],
        *,
        at_most: int | None,
        once: bool,
    ) -> dict[str, Any]:
        with translated(operation, f"s3://{key}", self._known_endpoint):
            bucket, _, path = key.partition("/")
            filesystem = self._filesystem
            model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
            # The filesystem's defaults (encryption, requester pays) where they apply. Ours go unfiltered:
            # a condition that the SDK does not know must fail and not vanish.
            known = model.input_shape.members
            defaults = {**filesystem.s3_additional_kwargs, **filesystem.req_kw}
            applicable = {name: value for name, value in defaults.items() if name in known}
            ours: dict[str, Any] = {"Bucket": bucket}
            if "Key" in known:
                ours["Key"] = path
            if "Body" in parameters:
                ours["Body"] = Body(parameters["Body"])
            client.meta.events.register("before-call.s3", _wait_longer, unique_id="ckptptr")
            with _once(client, model.name, path) if once else nullcontext():
                answer: dict[str, Any] = await getattr(client, operation)(
                    **{**applicable, **parameters, **ours}
                )
            if "Body" in answer:
                stream = answer["Body"]
                try:
                    answer["Body"] = await beginning(stream, answer.get("ContentLength"), at_most)
                finally:
                    stream.close()
            return answer


@contextmanager
def _once(client: Any, operation: str, path: str) -> Iterator[None]:
    """Inside, the first refusal of that request is raised."""

    def refuse(response: Any = None, request_dict: Any = None, **_: Any) -> None:
        if response and "Error" in response[1] and unquote(request_dict["url"]).endswith(path):
            raise ClientError(response[1], operation)

    event = f"needs-retry.s3.{operation}"
    client.meta.events.register_first(event, refuse)
    try:
        yield
    finally:
        client.meta.events.unregister(event, refuse)


async def _unchecked(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters without a checksum; a body gets `Content-MD5`, which servers of any age compare."""
    kept = {name: value for name, value in parameters.items() if not name.startswith("Checksum")}
    if "Body" in kept:
        digest = await asyncio.to_thread(hashlib.md5, kept["Body"], usedforsecurity=False)
        kept["ContentMD5"] = base64.b64encode(digest.digest()).decode()
    return kept
