"""What the refusals of Google Cloud Storage mean, as our errors: the one table.

It goes by the HTTP status and the `reason` in the JSON body, never by the text, which Google rewords: that
is only shown, and searched for the permission that it names. gcsfs drops all three: so requests do not go
through it. A status alone may come from a gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator

import aiohttp
from google.auth.exceptions import GoogleAuthError, TransportError

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.said import NOT_THE_STORES, cure, named, no_answer, quoted, sentence
from ckptptr.stores.sdk import PassingError, shown, unsendable

CONTINUE = "continue the upload"

# Operation: the permission it takes.
_PERMISSIONS = {
    "read": "storage.objects.get",
    "download": "storage.objects.get",
    "create": "storage.objects.create",
    "replace": "storage.objects.create and storage.objects.delete (overwriting needs both)",
    "upload": "storage.objects.create, and to overwrite storage.objects.delete",
    CONTINUE: "storage.objects.create, and to overwrite storage.objects.delete",
    "list": "storage.objects.list",
    "delete": "storage.objects.delete",
    "copy": "storage.objects.get on the source and storage.objects.create on the copy",
}
_OF_MEDIA = ("read", "download")
_OF_AN_OBJECT = (*_OF_MEDIA, "delete", "copy")

# The reason in the body, or else the status: what it means to us, in which words, what to do about it.
_TABLE: dict[str | int, tuple[type[CkptptrError], str, str]] = {
    # Google still says 403 for some limits that elsewhere are 429.
    "rateLimitExceeded": (StoreUnavailableError, "the store asks for fewer requests", ""),
    "userRateLimitExceeded": (StoreUnavailableError, "the store asks for fewer requests", ""),
    "quotaExceeded": (StoreUnavailableError, "a quota of the project is used up", "Raise it."),
    "retentionPolicyNotMet": (
        AccessDeniedError,
        "the bucket's retention policy forbids to change or delete the object",
        "LATEST must be replaceable: use a bucket without a retention policy.",
    ),
    "objectUnderActiveHold": (
        AccessDeniedError,
        "there is a hold on the object",
        "Release it: gcloud storage objects update --no-event-based-hold --no-temporary-hold.",
    ),
    401: (
        AccessDeniedError,
        "the store did not accept the Google credentials, or there are none",
        "Give the task a service account (workload identity), or run gcloud auth application-default login.",
    ),
    404: (NotFoundError, "there is no such object", ""),
    410: (StoreUnavailableError, "the store has forgotten the upload", "Begin it again."),
    "conditionNotMet": (ConflictError, "the object is not what was last seen", ""),
    "uploadTooLarge": (InvalidArgumentError, "the object is larger than the store allows", ""),
    416: (DamagedError, "the object is shorter than it should be", ""),
    429: (StoreUnavailableError, "the store asks for fewer writes, one a second to one name", ""),
}
_WORDS = {404: "notFound", 416: "requestedRangeNotSatisfiable"}
"""The reasons that come with these where they are Google's."""
_FAKE = {"Not Found": "notFound", "Precondition Failed": "conditionNotMet"}  # as fake-gcs-server writes it
_LONGEST = 2000
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})


def words_in(body: bytes) -> tuple[str, str]:
    """The reason (`notFound`, `conditionNotMet`, ...) and the sentence in an error of Google.

    Without JSON, as for media requests, there is no reason, and all of the body is the sentence.
    """
    try:
        error = json.loads(body)["error"]
        reason, said = error["errors"][0]["reason"], error.get("message", "")
    except (ValueError, LookupError, TypeError, AttributeError):
        return "", body[:_LONGEST].decode(errors="replace")
    word = _FAKE.get(str(reason), reason)
    # Not an open text, and never more than a word of it.
    return word if isinstance(word, str) and word.isalnum() else "", str(said)


def is_passing(status: int, reason: str) -> bool:
    return status in _PASSING or (status == 403 and reason in _PASSING_REASONS)


def refusal(reason: str, status: int, operation: str, url: str, said: str = "") -> CkptptrError:
    """The error for an HTTP status, and the reason and the text that came with it.

    A 404 is `NotFoundError` where the operation names an object. It can also mean the bucket, and Google
    tells these apart in the text only: the caller has to look. Only an answer about media may come without
    a reason; then the caller has to look as well.
    """
    said = sentence(said)
    if status == 404 and operation == CONTINUE:
        status = 410
    elif reason != _WORDS.get(status, reason) and (reason or operation not in _OF_MEDIA):
        return StoreUnavailableError(
            f"the store failed to {operation} ({status}, not in Google's words)", key=url
        )
    elif status == 404 and operation not in _OF_AN_OBJECT:
        # Not "not found": a mistyped bucket proves nothing about what exists.
        hint = "Check its name and the endpoint."
        return InvalidArgumentError("the bucket does not exist", key=url, hint=hint)
    row = _TABLE.get(reason) or _TABLE.get(status)
    if row:
        kind, message, hint = row
        return kind(message, key=url, hint=hint)
    if status == 403:
        return _denied(operation, url, said, is_worded=bool(reason or (said and operation in _OF_MEDIA)))
    answer = f"{status} {reason}".strip()
    return StoreUnavailableError(f"the store failed to {operation} ({answer}){quoted(said)}", key=url)


def _denied(operation: str, url: str, said: str, *, is_worded: bool) -> CkptptrError:
    hint = cure(said, _PERMISSIONS[operation]) if is_worded else NOT_THE_STORES
    if "Cloud KMS" in said:
        hint = (
            "Give the service account of Cloud Storage the role cloudkms.cryptoKeyEncrypterDecrypter on it."
        )
    elif operation in ("read", "download") and is_worded and not named(said):
        hint += " Without storage.objects.list a missing object is refused too: grant that as well."
    return AccessDeniedError(f"the store refused to {operation}{quoted(said)}", key=url, hint=hint)


@contextlib.contextmanager
def answered(operation: str, url: str, endpoint: str) -> Iterator[None]:
    """Turn what the network does to a request inside into `PassingError`."""
    try:
        yield
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as error:
        problem = no_answer(operation, endpoint, type(error).__name__, url)
        raise PassingError(problem) from shown(error)
    except ValueError as error:
        raise unsendable(error, url) from None


@contextlib.contextmanager
def authorized(url: str) -> Iterator[None]:
    """Turn what google-auth raises inside, when it renews a token, into one of our errors.

    An unreachable token server says nothing about permissions: pods meet it in their first seconds.
    """
    try:
        yield
    except GoogleAuthError as error:
        if error.retryable or any(isinstance(cause, TransportError) for cause in (error, error.__cause__)):
            raise StoreUnavailableError(
                "the Google credentials could not be renewed: their server did not answer", key=url
            ) from error
        raise AccessDeniedError(
            f"the Google credentials could not be renewed ({type(error).__name__})",
            key=url,
            hint="Renew them, or check the service account of this task.",
        ) from error
