"""The words of Google Cloud Storage: its own endpoints, and what its refusals mean: the one table.

It goes by the HTTP status and the `reason` in the JSON body, never by the text, which Google rewords: that
is only shown, and searched for the permission that it names. gcsfs drops all three: so requests do not go
through it. A status alone may come from a gateway. No SDK is needed here.
"""

from __future__ import annotations

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import UNSUPPORTED, UnsupportedError, UploadGoneError
from ckptptr.stores.said import quoted, refused, sentence

GOOGLE = (".googleapis.com",)

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
    410: (UploadGoneError, "the store has forgotten the upload", "Begin it again."),
    "conditionNotMet": (ConflictError, "the object is not what was last seen", ""),
    "uploadTooLarge": (InvalidArgumentError, "the object is larger than the store allows", ""),
    416: (DamagedError, "the object is shorter than it should be", ""),
    429: (StoreUnavailableError, "the store asks for fewer writes, one a second to one name", ""),
}
_WORDS = {404: "notFound", 416: "requestedRangeNotSatisfiable"}
"""The reasons that come with these where they are Google's."""
_UNLISTED = " Without storage.objects.list a missing object is refused too: grant that as well."
_KMS = "Give the service account of Cloud Storage the role cloudkms.cryptoKeyEncrypterDecrypter on it."
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_PASSING_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded"})


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
        if "Cloud KMS" in said:
            return AccessDeniedError(f"the store refused to {operation}{quoted(said)}", key=url, hint=_KMS)
        return refused(
            operation,
            url,
            said,
            grant=_PERMISSIONS[operation],
            is_worded=bool(reason or (said and operation in _OF_MEDIA)),
            unlisted=_UNLISTED if operation in _OF_MEDIA else "",
        )
    answer = f"{status} {reason}".strip()
    failure = UnsupportedError if status in UNSUPPORTED else StoreUnavailableError
    return failure(f"the store failed to {operation} ({answer}){quoted(said)}", key=url)
