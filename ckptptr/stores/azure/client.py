"""Single Azure requests through an adlfs filesystem: its credentials, endpoint, timeouts and event loop.

adlfs's own methods cache listings, do not wait for copies, and clash with callers over `metadata`. So
the SDK's client underneath is called. That one waits 15 seconds and more before it tries a failed
request again, and this cannot be set for a single request: it is told not to, and we do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

import fsspec.asyn
from azure.core.credentials import AzureSasCredential

from ckptptr.clock import Patience
from ckptptr.errors import InvalidArgumentError, StoreUnavailableError
from ckptptr.stores.azure.errors import translated
from ckptptr.stores.line import LONG, SMALL, Line
from ckptptr.stores.sdk import Body, Client, patiently

PATIENCE = Patience(tries=5, wait=0.4)
"""Of one call: the four pauses are 3 to 6 s in all."""

_READ_TIMEOUT = 60.0  # seconds: the SDK's own

_T = TypeVar("_T")


def _send_in_pieces(request: Any) -> None:
    """The SDK hands plain bytes to aiohttp, which then blocks the event loop with all of them at once."""
    if request.http_request.data:
        request.http_request.data = Body(request.http_request.data)


class AzureClient(Client):
    """Requests to Azure."""

    def __init__(self, filesystem: Any, patience: Patience = PATIENCE, line: Line | None = None) -> None:
        super().__init__(filesystem)
        self._patience = patience
        self.line = line or Line(self._limits.get("read_timeout", _READ_TIMEOUT))

    @property
    def account(self) -> str:
        """The name of the storage account; empty where the endpoint is not Azure's own."""
        return str(self._filesystem.service_client.account_name or "")

    @property
    def endpoint(self) -> str:
        """The URL that requests go to. It may carry a signature."""
        return str(self._filesystem.service_client.url)

    def call(self, operation: str, key: str, **parameters: Any) -> Any:
        """Send one request about `container/path` and wait for the answer. Raises our errors only.

        `operation` is a method of the SDK's `BlobClient`.
        """
        return self._wait(self.send, operation, key, **parameters)

    def start(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Let a coroutine around `send` run, and do not wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._filesystem.loop)

    async def send(self, operation: str, key: str, **parameters: Any) -> Any:
        """As `call`, on the filesystem's event loop."""
        request = getattr(self._blob(key), operation)
        size = len(parameters.get("data", b""))
        if size:
            parameters["raw_request_hook"] = _send_in_pieces

        def sent(limits: dict[str, Any]) -> Awaitable[Any]:
            if size <= SMALL:
                return request(**parameters, **limits)  # type: ignore[no-any-return]
            answer = request(**parameters, **{**limits, "read_timeout": LONG})
            return self.line.sent(size, answer, partial(self.send, "get_blob_properties", key))

        return await self._patiently(operation, key, sent)

    def download(self, key: str, *, at_most: int | None = None, **span: int) -> tuple[bytes, Any]:
        """The bytes (`offset`, `length`; else all) and the properties that came with them, in one request.

        Above 32 MiB the SDK makes several, all about the same version. `at_most`: of a larger object only
        the first `at_most` bytes.
        """
        blob = self._blob(key)

        async def request(limits: dict[str, Any]) -> tuple[bytes, Any]:
            stream = await blob.download_blob(**span, **limits)
            if at_most is None or stream.size <= at_most:
                return await stream.readall(), stream.properties
            found = bytearray()
            async for piece in stream.chunks():
                found += piece
                if len(found) >= at_most:
                    break
            return bytes(found[:at_most]), stream.properties

        answer: tuple[bytes, Any] = self._wait(self._patiently, "download_blob", key, request)
        return answer

    def page(self, folder: str, marker: str | None, **parameters: Any) -> tuple[list[Any], str | None]:
        """One page of the properties of what is below `folder/`, and where the next one begins.

        With a `delimiter`: of what is right below it.
        """
        container, _, path = folder.partition("/")
        service = self._filesystem.service_client
        prefix = f"{path}/" if path else ""

        async def request(limits: dict[str, Any]) -> tuple[list[Any], str | None]:
            client = service.get_container_client(container)
            lists = client.walk_blobs if "delimiter" in parameters else client.list_blobs
            found = lists(name_starts_with=prefix, **parameters, **limits)
            pages = found.by_page(marker)
            async for page in pages:
                if not pages.service_endpoint:  # the SDK takes any text for an empty listing
                    raise StoreUnavailableError("the answer is no listing", key=url(folder))
                return [item async for item in page], pages.continuation_token
            return [], None

        answer: tuple[list[Any], str | None] = self._wait(self._patiently, "list_blobs", folder, request)
        return answer

    def source_url(self, key: str) -> str:
        """What a copy inside the account names as its source; what it is signed with covers this too.

        A signature that is part of the URL is; one that the SDK adds to each request has to be added here.
        """
        blob = self._blob(key)
        if isinstance(blob.credential, AzureSasCredential):
            return f"{blob.url}?{blob.credential.signature.lstrip('?')}"
        return str(blob.url)

    def _blob(self, key: str) -> Any:
        container, _, path = key.partition("/")
        if not path:
            raise InvalidArgumentError("the key names a container and no object in it", key=url(key))
        if "\\" in path:  # and would so meet another object
            raise InvalidArgumentError(
                "Azure takes a backslash in a name for a slash", key=url(key), hint="Rename the file."
            )
        return self._filesystem.service_client.get_blob_client(container, path)

    def _wait(self, work: Callable[..., Coroutine[Any, Any, _T]], *arguments: Any, **parameters: Any) -> _T:
        answer: _T = fsspec.asyn.sync(self._filesystem.loop, work, *arguments, **parameters)
        return answer

    @property
    def _limits(self) -> dict[str, Any]:
        """adlfs keeps the timeouts it was made with for the requests that it sends."""
        return {**getattr(self._filesystem, "_timeout_kwargs", {}), "retry_total": 0}

    async def _patiently(
        self, operation: str, key: str, request: Callable[[dict[str, Any]], Awaitable[_T]]
    ) -> _T:
        limits = self._limits

        async def attempt() -> _T:
            with translated(operation, url(key), self.endpoint):
                return await request(limits)

        return await patiently(self._patience, attempt)


def url(key: str) -> str:
    """The key as a person writes it."""
    return f"abfs://{key}"
