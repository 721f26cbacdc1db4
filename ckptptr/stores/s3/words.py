"""The words of S3: its own endpoints, and what its refusals and those of its look-alikes mean: the one table.

It goes by the error code and the HTTP status, never by the text, which each server words differently: that
is only shown, and searched for the permission that it names. A status alone, without S3's error document,
may come from a gateway. No SDK is needed here.
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

AMAZON = (".amazonaws.com", ".amazonaws.com.cn")

_ACTIONS = {
    "get_object": "s3:GetObject",
    "head_object": "s3:GetObject",
    "put_object": "s3:PutObject",
    "list_objects_v2": "s3:ListBucket",
    "list_multipart_uploads": "s3:ListBucketMultipartUploads",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
    "copy_object": "s3:GetObject on the source and s3:PutObject on the copy",
    "upload_part_copy": "s3:GetObject on the source and s3:PutObject on the copy",
    "create_multipart_upload": "s3:PutObject",
    "upload_part": "s3:PutObject",
    "complete_multipart_upload": "s3:PutObject",
    "abort_multipart_upload": "s3:AbortMultipartUpload",
}

# Error code: what it means to us, in which words, and what to do about it.
_TABLE: dict[str, tuple[type[CkptptrError], str, str]] = {
    "PreconditionFailed": (ConflictError, "the object is not what was last seen", ""),
    "ConditionalRequestConflict": (ConflictError, "another write to the object was under way", ""),
    "NoSuchKey": (NotFoundError, "there is no such object", ""),
    # Not "not found": a mistyped bucket proves nothing about what exists.
    "NoSuchBucket": (InvalidArgumentError, "the bucket does not exist", "Check its name and the endpoint."),
    "InvalidRange": (DamagedError, "the object is shorter than it should be", ""),
    "ExpiredToken": (AccessDeniedError, "the credentials have expired", "Renew them."),
    "InvalidToken": (AccessDeniedError, "the session token is not valid", "Renew the credentials."),
    "TokenRefreshRequired": (AccessDeniedError, "the credentials have expired", "Renew them."),
    "InvalidAccessKeyId": (AccessDeniedError, "the access key is unknown", "Check key and endpoint."),
    "SignatureDoesNotMatch": (
        AccessDeniedError,
        "the secret key is wrong",
        "Check key, secret and endpoint.",
    ),
    "RequestTimeTooSkewed": (AccessDeniedError, "the clock of this machine is wrong", "Set it."),
    "PermanentRedirect": (InvalidArgumentError, "the bucket is in another region", "Set AWS_REGION."),
    "AuthorizationHeaderMalformed": (
        InvalidArgumentError,
        "the bucket is in another region",
        "Set AWS_REGION.",
    ),
    "InvalidBucketName": (InvalidArgumentError, "the bucket name is not valid", ""),
    "KeyTooLongError": (InvalidArgumentError, "the key is longer than S3 allows", ""),
    "EntityTooLarge": (InvalidArgumentError, "the object is larger than the store allows", ""),
    "NotImplemented": (UnsupportedError, "the store does not offer this operation", ""),
    "InvalidObjectState": (
        AccessDeniedError,
        "the object is archived (Glacier), and cannot be read",
        "Bring it back first (aws s3api restore-object). Let no lifecycle rule archive checkpoints.",
    ),
}
OTHER_BYTES = ("BadDigest", "XAmzContentChecksumMismatch", "InvalidDigest")
"""How a server says that what arrived does not have its checksum: Amazon and most others, MinIO, Garage."""

_OF_THIS_REQUEST_ONLY = (*OTHER_BYTES, "XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeout")
"""What is answered with 400 and speaks of the bytes of one request, not of its kind."""
_OF_AN_UPLOAD = ("upload_part", "complete_multipart_upload")
_NEVER_ABSENT = ("list_objects_v2", "list_multipart_uploads", "create_multipart_upload")
"""What names no object that could be missing."""
_UNLISTED = " Without s3:ListBucket, S3 answers so for a missing object too: grant that as well."
_BY_STATUS = {
    409: "ConditionalRequestConflict",
    412: "PreconditionFailed",
    416: "InvalidRange",
}


def refusal(code: str, status: int, operation: str, url: str, said: str = "") -> CkptptrError:
    """The error for an S3 error code and HTTP status; 0 where the code came without one.

    `said` is the text that came with the code.
    """
    said = sentence(said)
    if operation == "head_object" and status in (301, 404):
        code = "NoSuchKey"  # a HEAD has no words, so its caller has to ask again
    is_worded = bool(code) and not code.isdigit()  # botocore makes the status a code where there is none
    row = _TABLE.get(code) or (_TABLE.get(_BY_STATUS.get(status, "")) if is_worded else None)
    if row and not (row[0] is NotFoundError and operation in _NEVER_ABSENT):
        kind, message, hint = row
        return kind(message, key=url, hint=hint)
    if code.startswith("KMS."):
        hint = "Look at the state and the policy of the key."
        return AccessDeniedError(f"the bucket's KMS key cannot be used{quoted(said)}", key=url, hint=hint)
    if code == "AccessDenied" or status in (401, 403):
        return refused(
            operation,
            url,
            said,
            grant=_ACTIONS[operation],
            is_worded=is_worded or operation == "head_object",
            unlisted=_UNLISTED if operation in ("get_object", "head_object") else "",
        )
    failure = _failure(code, status, operation)
    return failure(f"the store failed to {operation} ({code} {status}){quoted(said)}", key=url)


def _failure(code: str, status: int, operation: str) -> type[StoreUnavailableError]:
    """What kind of failure it is that the table does not know."""
    if code == "NoSuchUpload" and operation in _OF_AN_UPLOAD:
        return UploadGoneError
    is_of_its_kind = status in UNSUPPORTED and code not in _OF_THIS_REQUEST_ONLY
    return UnsupportedError if is_of_its_kind else StoreUnavailableError
