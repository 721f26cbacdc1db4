"""Single requests to the JSON API through a gcsfs filesystem: its credentials, endpoint, settings,
connections and event loop.

gcsfs's own methods are not used. They drop the error codes, retry for up to a minute without saying so,
cache listings, have no condition except "create", and first ask what kind of bucket it is, which can stall
for a minute (`GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT`).

Nor is Google's SDK (google-cloud-storage 3.17.1, tried behind this project's suites). It takes any JSON
object for an empty listing, so absence would not be proven. It cannot go on with an upload of which the
store kept half a block. Its `terminate` leaves the upload behind. It asks for the bucket's metadata on the
side. Small objects cost 2 to 4 times the CPU and the time.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import google_crc32c
from google.auth.transport import requests as google_requests
from multidict import CIMultiDictProxy
from yarl import URL

from ckptptr.clock import Patience
from ckptptr.errors import (
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores import sdk
from ckptptr.stores.gcs.errors import answered, authorized, words_in
from ckptptr.stores.gcs.words import is_passing, refusal
from ckptptr.stores.line import SMALL, Line
from ckptptr.stores.sdk import PassingError, beginning
from ckptptr.version import __version__

_SLICE = 256 * 1024
_SLOW = 4  # times as long may a slow answer take
_CONNECT = 10.0  # seconds
_LONGEST_NAME = 1024
_TOKEN_REQUEST: Any = google_requests.Request  # google-auth is typed in parts

_T = TypeVar("_T")


PATIENCE = Patience(tries=5, wait=0.5, longest_wait=5.0, at_most=45.0)
"""Of one call: a storm of 503s is over in 4 to 8 seconds."""

ANSWER = 30.0
"""Seconds that one answer may take. A store that never answers costs twice that."""


class Pieces:
    """Pieces to send one after the other, without a copy, and again from the start in the next try."""

    def __init__(self, *pieces: bytes | memoryview) -> None:
        self._pieces = pieces
        self.size = sum(len(piece) for piece in pieces)

    async def __aiter__(self) -> AsyncIterator[memoryview]:
        for piece in self._pieces:
            view = memoryview(piece)
            for start in range(0, len(view), _SLICE):  # or the event loop would do nothing else meanwhile
                yield view[start : start + _SLICE]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request about `key`. `where` is the path below the endpoint, or a URL that the store gave.

    `welcome` are statuses besides 2xx that are no failures. `whole` says that the answer's body is one
    whole object: it is compared with the checksum beside it; not if it has more than `at_most` bytes, the
    first of which are then the answer. `slow`: the store works before it answers.
    """

    operation: str
    key: str
    method: str
    where: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Pieces | None = None
    welcome: tuple[int, ...] = ()
    whole: bool = False
    at_most: int | None = None
    slow: bool = False

    @property
    def begins_at(self) -> int:
        """The first byte asked for."""
        return int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])

    @property
    def url(self) -> str:
        """For messages: the key as a person writes it. The real URL can be a secret (upload sessions)."""
        return f"gs://{self.key}"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back. `url` is that of the request, for messages."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    url: str

    def field(self, name: str) -> str:
        """What the object in the body has under that name."""
        value = self.json().get(name)
        if not isinstance(value, str):
            raise StoreUnavailableError(f"the answer has no {name}", key=self.url)
        return value

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise StoreUnavailableError("the answer is not that of Google Cloud Storage", key=self.url)
        return found

    def header(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            raise StoreUnavailableError(f"the answer has no {name}", key=self.url)
        return value


class GCSClient(sdk.Client):
    """Requests to Google Cloud Storage."""

    def __init__(
        self,
        filesystem: Any,
        patience: Patience = PATIENCE,
        answer: float = ANSWER,
        line: Line | None = None,
    ) -> None:
        super().__init__(filesystem)
        self._patience = patience
        self._answer = answer
        self.line = line or Line(answer)
        self._renewing = threading.Lock()
        self._buckets: set[str] = set()  # that are known to exist

    @property
    def endpoint(self) -> str:
        """The URL that requests go to."""
        return str(self._origin._location)

    def call(self, request: HttpRequest) -> HttpAnswer:
        """Send, patiently, and wait for the answer. Raises our errors only."""
        return self.run(request.key, lambda: self.send(request))

    def start(self, key: str, work: Callable[[], Coroutine[Any, Any, _T]]) -> Future[_T]:
        """Let `work`, made of `send` or `once`, run on the event loop, and do not wait for it."""
        filesystem = self._filesystem
        self._renew(filesystem, f"gs://{key}")
        return asyncio.run_coroutine_threadsafe(work(), filesystem.loop)

    def run(self, key: str, work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
        """As `start`, and wait for the end of it."""
        future = self.start(key, work)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # this thread was interrupted, and nothing waits any more
            raise

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """One request, again and again while its failure may pass. On the event loop, as `once`."""
        return await self.patiently(lambda: self.once(request))

    async def patiently(self, attempt: Callable[[], Awaitable[_T]]) -> _T:
        """`attempt`, made of `once`, until its failure is not a passing one."""
        return await sdk.patiently(self._patience, attempt)

    async def once(self, request: HttpRequest) -> HttpAnswer:
        """One request, one time. Raises `PassingError` for a failure that may pass, our errors for others."""
        with answered(request.operation, request.url, self.endpoint):
            if request.body and request.body.size > SMALL:
                sign = functools.partial(self.once, _look(request.key))
                answer = await self.line.sent(request.body.size, self._exchange(request), sign)
            else:
                answer = await self._exchange(request)
        bucket = request.key.partition("/")[0]
        if 200 <= answer.status < 300 or answer.status in request.welcome:
            if request.whole and len(answer.body) != request.at_most and not _is_intact(answer):
                raise PassingError(StoreUnavailableError("the bytes changed on the way", key=request.url))
            self._buckets.add(bucket)
            return answer
        reason, said = words_in(answer.body)
        error = refusal(reason, answer.status, request.operation, request.url, said)
        if is_passing(answer.status, reason):
            raise PassingError(error, _seconds(answer.headers.get("Retry-After", "")))
        if isinstance(error, (NotFoundError, DamagedError)) and not reason:
            await self._prove(request, answer.status)  # of media; a gateway's page looks the same
        elif isinstance(error, NotFoundError) and bucket not in self._buckets:
            await self._prove_bucket(bucket)  # it is not there, so nothing was said about the object
        raise error

    async def _prove(self, request: HttpRequest, status: int) -> None:
        """Raise unless a listing of the bucket proves that the object, or the range of it, does not exist."""
        listed = await self._prove_bucket(request.key)
        sizes = [int(each["size"]) for each in listed if each["name"] == object_name(request.key)]
        if bool(sizes) if status == 404 else not sizes or sizes[0] > request.begins_at:
            # Written meanwhile, or the answer was not the store's: in both cases the next try tells.
            raise PassingError(
                StoreUnavailableError(f"{status}, and a listing says otherwise", key=request.url)
            )

    async def _prove_bucket(self, key: str) -> list[dict[str, str]]:
        """The first entry of a listing whose prefix is the key. Another answer proves nothing."""
        page = (await self.once(_look(key))).json()
        if page.get("kind") != "storage#objects":
            raise StoreUnavailableError("the answer is no listing", key=f"gs://{key}")
        found: list[dict[str, str]] = page.get("items", [])
        return found

    def prove(self, key: str) -> None:
        """Raise `InvalidArgumentError` unless the key's bucket exists."""
        self.run(key, lambda: self.patiently(lambda: self._prove_bucket(key.partition("/")[0])))

    def _made_again(self, old: Any) -> Any:
        """It is lent the credentials, so that they are not resolved a second time."""
        self._renewing = threading.Lock()  # another thread of the parent may have held it
        lent = {"token": old.credentials.credentials or "anon", "project": old.project}
        options = old.storage_options if old.storage_args else {**old.storage_options, **lent}
        return type(old)(*old.storage_args, **options)

    def _renew(self, filesystem: Any, url: str) -> None:
        """Have a token that is good for some minutes. Asking for one blocks: so not on the event loop."""
        credentials = filesystem.credentials.credentials
        if credentials is None or credentials.valid:  # None is anonymous
            return
        with self._renewing, authorized(url):
            if not credentials.valid:
                credentials.refresh(_TOKEN_REQUEST())

    async def _exchange(self, request: HttpRequest) -> HttpAnswer:
        filesystem = self._filesystem
        session = await filesystem._set_session()
        headers = {"User-Agent": f"ckptptr/{__version__}", **request.headers}
        if filesystem.credentials.credentials is not None:
            filesystem.credentials.credentials.apply(headers)
        patience: float | None = self._answer * (_SLOW if request.slow else 1)
        if request.body:
            headers["Content-Length"] = str(request.body.size)
            if request.body.size > SMALL:
                patience = None  # the line has it
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=patience)
        where = request.where if "://" in request.where else filesystem._location + request.where
        query = filesystem._get_params(dict(request.query))  # adds who pays, where it is the requester
        if query:
            where += f"{'&' if '?' in where else '?'}{urlencode(query)}"
        async with session.request(
            request.method,
            URL(where, encoded=True),
            headers=headers,
            data=request.body,
            timeout=timeout,
            allow_redirects=False,  # 308 is the answer to a part of an upload
        ) as response:
            body = await beginning(response.content, response.content_length, request.at_most)
            return HttpAnswer(response.status, response.headers, body, request.url)


def _look(key: str) -> HttpRequest:
    """A look into the bucket: whether it exists, and whether it has the object."""
    bucket, _, name = key.partition("/")
    query = {"maxResults": "1", "fields": "kind,items(name,size)", "prefix": name}
    return HttpRequest("list", bucket, "GET", f"/storage/v1/{bucket_path(bucket)}/o", query)


def bucket_path(key: str) -> str:
    """`b/bucket`, for URLs."""
    return f"b/{quote(key.partition('/')[0], safe='')}"


def object_path(key: str) -> str:
    """`b/bucket/o/name`, for URLs; a slash in the name becomes `%2F`."""
    return f"{bucket_path(key)}/o/{quote(object_name(key), safe='')}"


def object_name(key: str) -> str:
    """What follows the bucket. Raises `InvalidArgumentError` where no object can have that name."""
    name = key.partition("/")[2]
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidArgumentError("the name is not text", key=repr(key)) from None
    if size == 0:
        raise InvalidArgumentError("a bucket is not an object", key=f"gs://{key}")
    if size > _LONGEST_NAME:
        raise InvalidArgumentError(f"the name has more than {_LONGEST_NAME} bytes", key=f"gs://{key}")
    return name


def crc32c(body: bytes) -> str:
    """The checksum as Google writes it."""
    return as_text(google_crc32c.value(body))


def as_text(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _is_intact(answer: HttpAnswer) -> bool:
    if answer.headers.get("X-Goog-Stored-Content-Encoding", "identity") != "identity":
        return True  # the checksum is that of the compressed bytes, as they are stored
    hashes = ",".join(answer.headers.getall("X-Goog-Hash", []))
    given = dict(each.strip().partition("=")[::2] for each in hashes.split(","))
    return given.get("crc32c") in (None, crc32c(answer.body))


def _seconds(text: str) -> float:
    """Of a `Retry-After` in seconds; its other form, a date, would need two equal clocks and is ignored."""
    return float(text) if text.isascii() and text.isdigit() else 0.0
