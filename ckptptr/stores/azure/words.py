"""The words of Azure Blob Storage: its own endpoints, and what its refusals mean: the one table.

It goes by Azure's error code, which pages of gateways lack, and the HTTP status, never by the text, of which
Azure's own sentence is shown. No SDK is needed here.
"""

from __future__ import annotations

import re

from ckptptr.errors import (
    AccessDeniedError,
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import UNSUPPORTED, UnsupportedError
from ckptptr.stores.said import NOT_THE_STORES, quoted, sentence

AZURE = (
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.usgovcloudapi.net",
    ".blob.storage.azure.net",  # accounts whose name includes a DNS zone
)

_BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
_ACTIONS = {
    "download_blob": f"{_BLOBS}/read",
    "get_blob_properties": f"{_BLOBS}/read",
    "list_blobs": f"{_BLOBS}/read",  # "returns a blob or a list of blobs"; `containers/read` lists containers
    "upload_blob": f"{_BLOBS}/write",
    "stage_block": f"{_BLOBS}/write",
    "commit_block_list": f"{_BLOBS}/write",
    "start_copy_from_url": f"{_BLOBS}/read on the source and {_BLOBS}/write",
    "abort_copy": f"{_BLOBS}/write",
    "delete_blob": f"{_BLOBS}/delete",
}


class SourceUnverifiedError(StoreUnavailableError):
    """Azure could not look at the source of a copy, for a reason that only the source itself tells."""


_NO_CONTAINER = (InvalidArgumentError, "the container does not exist", "Check its name and the account.")
_NO_METADATA = (
    InvalidArgumentError,
    "Azure does not accept the metadata",
    "Names are words, values are ASCII.",
)
_BAD_NAME = (InvalidArgumentError, "Azure does not accept the name", "")
_TOO_LARGE = (
    InvalidArgumentError,
    "the object is larger than Azure allows",
    "Save it as several files, or open the store with a larger block size.",
)
_LEASED = (
    StoreUnavailableError,
    "another program holds a lease on the object",
    "Break it (az storage blob lease break), or wait for its end.",
)
_FROZEN = (
    AccessDeniedError,
    "an immutability policy or a legal hold forbids it",
    "Use a container that has none.",
)
_ARCHIVED = (
    AccessDeniedError,
    "the object is in the archive tier, and cannot be read",
    "Bring it back first (az storage blob set-tier --tier Hot). Let no lifecycle rule archive checkpoints.",
)
_NO_VAULT_KEY = (
    AccessDeniedError,
    "the account's encryption key cannot be used",
    "Look at the key in its Key Vault, and at the account's access to it.",
)
_NOT_ACCEPTED = (
    AccessDeniedError,
    "the credentials are not accepted",
    "Check the key, token or signature (expired?), the account, and the clock of this machine.",
)
_ANONYMOUS = (AccessDeniedError, "Azure shows nothing here without credentials", "Set credentials.")

# Error code: what it means to us, in which words, and what to do about it.
_TABLE: dict[str, tuple[type[CkptptrError], str, str]] = {
    "ConditionNotMet": (ConflictError, "the object is not what was last seen", ""),
    "TargetConditionNotMet": (ConflictError, "the object is not what was last seen", ""),
    "BlobAlreadyExists": (ConflictError, "the object exists already", ""),
    "BlobNotFound": (NotFoundError, "there is no such object", ""),
    # Not "not found": a mistyped container proves nothing about what exists.
    "ContainerNotFound": _NO_CONTAINER,
    "ContainerBeingDeleted": _NO_CONTAINER,
    # Nor this: it is what Azure says of a private container to those who bring no credentials.
    "ResourceNotFound": _ANONYMOUS,
    "NoAuthenticationInformation": _ANONYMOUS,
    "PublicAccessNotPermitted": _ANONYMOUS,
    "AuthenticationFailed": _NOT_ACCEPTED,
    "InvalidAuthenticationInfo": _NOT_ACCEPTED,
    "KeyBasedAuthenticationNotPermitted": (
        AccessDeniedError,
        "the account takes no account keys",
        "Use a Microsoft Entra identity.",
    ),
    "CannotVerifyCopySource": (SourceUnverifiedError, "Azure could not look at the source of the copy", ""),
    "PendingCopyOperation": (StoreUnavailableError, "an earlier copy to the object is under way", ""),
    "LeaseIdMissing": _LEASED,
    "BlobImmutableDueToPolicy": _FROZEN,
    "BlobImmutableDueToLegalHold": _FROZEN,
    "BlobArchived": _ARCHIVED,
    "BlobBeingRehydrated": _ARCHIVED,
    "SnapshotsPresent": (StoreUnavailableError, "the object has snapshots", "Delete them first."),
    "DirectoryIsNotEmpty": (ConflictError, "the folder is not empty", ""),
    "InvalidRange": (DamagedError, "the object is shorter than it should be", ""),
    "InvalidBlobOrBlock": (
        StoreUnavailableError,
        "another program left an unfinished upload under this name",
        "Use another name, or wait for the week after which Azure forgets it.",
    ),
    "InvalidBlobType": (InvalidArgumentError, "the object is a page or append blob", ""),
    "ResourceTypeMismatch": (InvalidArgumentError, "a directory of the account has this name", ""),
    "BlockCountExceedsLimit": _TOO_LARGE,
    "BlockListTooLong": _TOO_LARGE,
    "RequestBodyTooLarge": _TOO_LARGE,
    "InvalidMetadata": _NO_METADATA,
    "EmptyMetadataKey": _NO_METADATA,
    "MetadataTooLarge": _NO_METADATA,
    "InvalidResourceName": _BAD_NAME,
    "OutOfRangeInput": _BAD_NAME,
    "InvalidUri": _BAD_NAME,
}
# A 404 without Azure's code is not here: something in between said it, and it proves nothing.
# Nor is 409, which Azure uses for all kinds of things.
_OTHER_BYTES = ("Md5Mismatch", "Crc64Mismatch")
_BY_STATUS = {412: "ConditionNotMet", 416: "InvalidRange"}


def refusal(code: str, status: int, operation: str, url: str, said: str = "") -> CkptptrError:
    """The error for an Azure error code and HTTP status. `said` is the text that came with the code."""
    said = sentence(said) if code else ""
    row = _TABLE.get(code) or (_TABLE.get(_BY_STATUS.get(status, "")) if code else None)
    if code.startswith("KeyVault"):
        row = _NO_VAULT_KEY
    if row and not (row[0] is NotFoundError and operation == "list_blobs"):  # it names no object
        kind, message, hint = row
        return kind(message, key=url, hint=hint)
    if status in (401, 403):
        hint = f"Grant {_ACTIONS[operation]}, and look at the account's firewall." if code else NOT_THE_STORES
        return AccessDeniedError(f"Azure refused to {operation}{quoted(said)}", key=url, hint=hint)
    is_of_its_kind = status in UNSUPPORTED and code not in _OTHER_BYTES
    failure = UnsupportedError if is_of_its_kind else StoreUnavailableError
    return failure(f"Azure failed to {operation} ({code} {status}){quoted(said)}", key=url)


def metadata_name(name: str) -> str:
    """`name` as Azure allows it: an identifier of C#, so the rest becomes underscores."""
    word = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{word}" if word[:1].isdigit() else word
