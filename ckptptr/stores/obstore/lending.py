"""Who makes obstore's clients, and what every cloud has in common there: the engine switch, bounds, error
words.

A lender makes clients from one fsspec filesystem. What the filesystem resolved is right by definition, so
obstore resolves nothing: it gets that endpoint and a function that asks the filesystem for credentials each
time it needs some. A filesystem with settings that obstore would not honour in the same way lends nothing:
it moves its payload itself.
"""

from __future__ import annotations

import html
import os
import re
import urllib.request
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, NamedTuple, Protocol
from urllib.parse import urlsplit

from ckptptr.clock import Patience
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.settings import ENGINE
from ckptptr.stores.capacity import at_once
from ckptptr.stores.line import LONG
from ckptptr.stores.port import Guarantee
from ckptptr.wording import size

LEASE = timedelta(minutes=10)
"""For how long credentials are lent that may change, or until they expire; obstore then asks again."""

PATIENCE = Patience(tries=5, wait=0.3, longest_wait=4.0, at_most=45.0)
ANSWER = 120.0
"""Seconds without a byte of an answer, except for uploads, which an `UploadWatch` ends."""

_STATUS = re.compile(r"(?:status |\()code: (\d{3})")
"""Not that of the operating system: `Os { code: 110 }`."""
_DOCUMENT = re.compile(r"[^<]*(?:<\?xml[^>]*>\s*)?<Error\b[^>]*>(.*?)(?:</Error>|\Z)", re.DOTALL)
"""The error document of the store, after the status; a page of a gateway may contain the same words."""
_WORDS = re.compile(r"<(Code|Message)>([^<]*)</")
_ASKED = re.compile(r"Error performing [A-Z]+ (https?://\S+)(?: in (\d+)(?:\.\d+)?s\b)?")
_KIND = re.compile(r"\bkind: (Timeout|Connect|Interrupted)\b")
_OF_THEIR_OWN = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class UnlendableError(Exception):
    """obstore would not be the same client; the text is a reason for people."""


class Lender(Protocol):
    """Makes obstore clients of one cloud, and knows that cloud's words. From a filesystem, or from a
    platform's configuration (`configured`)."""

    name: ClassVar[str]
    """Whose identity it is, for people: `s3fs`."""

    scheme: ClassVar[str]

    version: ClassVar[Literal["e_tag", "version"]]
    """Which of obstore's two names a version of an object has in conditional writes there."""

    proves_blocks: ClassVar[bool]
    """Whether another adapter proves no more than obstore about what is uploaded in many blocks."""

    block_size: ClassVar[int]
    """In which large files are sent, in bytes. The smaller, the more connections in the same memory."""

    deletes_together: ClassVar[int]
    """How many objects obstore deletes in one request; more than one only where a missing one is no error."""

    page: ClassVar[int]
    """How many names a full page of a listing has, if a server may not say that there is more; else 0."""

    copies: ClassVar[int]
    """The largest object in bytes that a copy is trusted with; larger ones pass through here."""

    answer: float
    """Seconds that an answer may take."""

    has_folders: ClassVar[bool]
    """Whether some accounts have folders, which stay when they are empty."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """User metadata of every payload object."""

    @property
    def guarantee(self) -> Guarantee:
        """What conditional writes are worth at the endpoint."""

    compares_parts: bool
    """Whether the clients that `comparing` makes also prove each part of an upload."""

    def client(self, bucket: str) -> Any:
        """An obstore store. Raises `UnlendableError`; sends no request."""

    def comparing(self, key: str, /) -> Any | None:
        """The same, with a checksum for each object, if the store compares it and refuses other bytes.

        None if it does not. That may be found out at `key`, by a request that has to be refused.
        """

    def checked(self, bucket: str, /) -> Any | None:
        """The same, with a checksum for each object and part, compared or not: a bucket with Object Lock
        refuses what comes without. None where no bucket wants one."""

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        """What the store's error code, HTTP status (0: none) and sentence mean. `operation` is a method of
        the port."""


def chosen() -> str:
    """`auto`, `fsspec` or `obstore`, as `CKPTPTR_ENGINE` says.

    Raises:
        InvalidArgumentError: it says something else, or wants obstore, which is not installed.
    """
    engine = ENGINE.read()
    if engine != "fsspec" and find_spec("obstore") is None:
        if engine == "obstore":
            raise InvalidArgumentError(
                f"{ENGINE.name} is obstore, which is not installed",
                hint="pip install 'ckptptr[fast]', on Python 3.11 or later",
            )
        return "fsspec"
    return engine


def reason() -> str:
    """Why `chosen` says what it says, for people."""
    if (engine := ENGINE.read()) != "auto":
        return f"{ENGINE.name} is {engine}"
    return "obstore is installed" if find_spec("obstore") else "obstore is not installed"


def explained(block_size: int, room: int) -> str:
    """The same, and in which blocks payload goes, for a log."""
    return f"{reason()}; blocks of {size(block_size)}, at most {at_once(block_size, room)} at once"


def limits(patience: Patience, answer: float) -> dict[str, Any]:
    """The bounds of an obstore client, as its constructor takes them."""
    return {
        "client_options": {
            "connect_timeout": timedelta(seconds=min(10.0, answer)),
            "read_timeout": timedelta(seconds=answer),
            "timeout": timedelta(seconds=LONG),
            "allow_http": True,
        },
        "retry_config": {
            "max_retries": patience.tries - 1,
            "retry_timeout": timedelta(seconds=patience.at_most),
            "backoff": {
                "init_backoff": timedelta(seconds=patience.wait),
                "max_backoff": timedelta(seconds=patience.longest_wait),
                "base": 2,
            },
        },
    }


def without_limit(client: Any) -> Any:
    """The same obstore client for requests that take their time; see `Line`."""
    if not hasattr(client, "client_options"):  # in memory
        return client
    named = {"endpoint_url_s3": "aws_endpoint_url_s3"}  # which is not taken under the name that it is given
    return type(client)(
        config={named.get(name, name): value for name, value in client.config.items()},
        client_options={**client.client_options, "read_timeout": timedelta(seconds=LONG)},
        retry_config=client.retry_config,
        credential_provider=client.credential_provider,
    )


def lent_until(expires: datetime | None = None) -> datetime:
    """Until when obstore may use credentials that expire then."""
    lease = datetime.now(timezone.utc) + LEASE
    return min(lease, expires) if expires else lease


def refuse_unless(fits: object, reason: str) -> None:
    """Raise `UnlendableError` with the reason where something does not fit."""
    if not fits:
        raise UnlendableError(reason)


def check_way(endpoint: str) -> None:
    """Refuse what stands between us and the endpoint where the two clients may treat it differently."""
    parts = urlsplit(endpoint)
    refuse_unless(parts.scheme in ("http", "https") and parts.hostname, "the endpoint is no HTTP URL")
    proxies = urllib.request.getproxies()
    refuse_unless(not ({parts.scheme, "all"} & set(proxies)), "there is an HTTP proxy")
    own = [name for name in _OF_THEIR_OWN if os.environ.get(name)]
    refuse_unless(parts.scheme == "http" or not own, f"{', '.join(own)} names other authorities for TLS")


class Answer(NamedTuple):
    """The store's error code, the HTTP status and the store's sentence; empty and 0 without an answer."""

    code: str
    status: int
    said: str


def answer_in(error: Exception) -> Answer:
    """The answer that made obstore raise."""
    text = str(error)
    if "InvalidRangeRequest" in text or "CONTENT_RANGE" in text:  # words of obstore itself
        return Answer("InvalidRange", 416, "")
    status = _STATUS.search(text)
    document = _DOCUMENT.match(text, status.end() if status else 0)
    words = dict(_WORDS.findall(document[1])) if document else {}
    if "Error performing HEAD " in text:  # whose answer has no words
        words = {"Code": "AccessDenied"} if status and status[1] == "403" else {}
    known = {"PermissionDeniedError": 403, "UnauthenticatedError": 401}.get(type(error).__name__, 0)
    return Answer(
        words.get("Code", ""), int(status[1]) if status else known, html.unescape(words.get("Message", ""))
    )


def unanswered(error: Exception) -> tuple[str, str] | None:
    """The URL of a request that got no answer, and what happened to it; None if it is not that."""
    text = str(error)
    asked, kind = _ASKED.search(text), _KIND.search(text)
    if asked is None or _STATUS.search(text):
        return None
    problem = kind[1] if kind else type(error).__name__
    return asked[1], f"{problem} after {asked[2]} s" if asked[2] else problem
