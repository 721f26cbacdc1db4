"""Lending a filesystem's identity to obstore: the engine switch, and what every cloud has in common.

What the filesystem resolved is right by definition, so obstore resolves nothing: it gets that endpoint
and a function that asks the filesystem for credentials each time that it wants some. A filesystem with
settings that obstore would not honour in the same way is not lent from: it moves its payload itself.
"""

from __future__ import annotations

import os
import re
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.settings import ENGINE

LEASE = timedelta(minutes=10)
"""For how long credentials are lent; SDKs renew theirs at least so long before they expire."""

CLIENT_OPTIONS: Any = {
    "connect_timeout": timedelta(seconds=10),
    "timeout": timedelta(seconds=120),  # for all of a request: 8 MiB in that are 70 kB/s
    "allow_http": True,
}
RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=45),
    "backoff": {
        "init_backoff": timedelta(milliseconds=300),
        "max_backoff": timedelta(seconds=4),
        "base": 2,
    },
}

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_OF_THEIR_OWN = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class UnlendableError(Exception):
    """obstore would not be the same client; the text is a reason for people."""


class Lender(Protocol):
    """Makes obstore clients out of one filesystem."""

    filesystem_name: ClassVar[str]

    takes_blocks: ClassVar[bool]
    """Whether what is uploaded in many blocks goes by obstore too."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """User metadata of every payload object."""

    def client(self, bucket: str) -> Any:
        """An obstore store. Raises `UnlendableError`; sends no request."""

    def refusal(self, code: str, status: int, url: str) -> CkptptrError:
        """What the store's error code and HTTP status (0: no answer) mean for an upload."""


def chosen() -> str:
    """`auto`, `fsspec` or `obstore`, as `CKPTPTR_ENGINE` says.

    Raises:
        InvalidArgumentError: it says something else, or wants obstore, which is not installed.
    """
    engine = ENGINE.read()
    if engine != "fsspec" and find_spec("obstore") is None:
        if engine == "obstore":
            raise InvalidArgumentError(
                f"{ENGINE.name} is obstore, which is not installed", hint="pip install 'ckptptr[fast]'"
            )
        return "fsspec"
    return engine


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


def meaning(error: Exception) -> tuple[str, int]:
    """The error code and the HTTP status in what obstore raised; empty and 0 where there was no answer."""
    text = str(error)
    code, status = _CODE.search(text), _STATUS.search(text)
    known = {"PermissionDeniedError": 403, "UnauthenticatedError": 401}.get(type(error).__name__, 0)
    return (code[1] if code else "", int(status[1]) if status else known)
