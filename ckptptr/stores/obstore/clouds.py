"""What each cloud is like through obstore, whatever its client is made from."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.stores.azure.words import refusal as refusal_of_azure
from ckptptr.stores.gcs.words import CONTINUE
from ckptptr.stores.gcs.words import refusal as refusal_of_google
from ckptptr.stores.s3.words import refusal as refusal_of_s3

_S3 = {
    "read": "get_object",
    "download": "get_object",
    "create": "put_object",
    "replace": "put_object",
    "upload": "upload_part",
    "list": "list_objects_v2",
    "delete": "delete_objects",
    "copy": "copy_object",
}
_AZURE = {
    "read": "download_blob",
    "download": "download_blob",
    "create": "upload_blob",
    "replace": "upload_blob",
    "upload": "stage_block",
    "list": "list_blobs",
    "delete": "delete_blob",
    "copy": "start_copy_from_url",
}
_REASONS = {
    "NoSuchKey": "notFound",
    "NoSuchBucket": "notFound",
    "PreconditionFailed": "conditionNotMet",
    "InvalidRange": "requestedRangeNotSatisfiable",
    "EntityTooLarge": "uploadTooLarge",
    "AccessDenied": "forbidden",
}
"""What Google's XML API calls the reasons of its JSON API."""


CHECKSUM: dict[str, Any] = {"checksum_algorithm": "CRC64NVME"}
"""With it obstore sends a checksum that Amazon compares."""
CHECKED: dict[str, Any] = {"checksum_algorithm": "SHA256"}
"""For buckets that want one. Servers have known it for longest, and the signature needs it anyway."""


class OnS3:
    """See `Lender`."""

    scheme: ClassVar[str] = "s3"
    version: ClassVar[Literal["e_tag", "version"]] = "e_tag"
    proves_blocks: ClassVar[bool] = True
    block_size: ClassVar[int] = 5 * 1024**2  # smaller parts are refused
    deletes_together: ClassVar[int] = 1000
    page: ClassVar[int] = 1000
    copies: ClassVar[int] = 5 * 1024**3  # more takes parts, which obstore does not copy
    has_folders: ClassVar[bool] = False

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        return refusal_of_s3(code, status, _S3[operation], url, said)


class OnGCS:
    """See `Lender`. obstore speaks Google's XML API."""

    scheme: ClassVar[str] = "gs"
    version: ClassVar[Literal["e_tag", "version"]] = "version"
    proves_blocks: ClassVar[bool] = True
    block_size: ClassVar[int] = 5 * 1024**2  # smaller parts are refused
    deletes_together: ClassVar[int] = 1
    page: ClassVar[int] = 0
    copies: ClassVar[int] = 5 * 1024**3
    has_folders: ClassVar[bool] = False

    compares_parts = False

    def comparing(self, _: str, /) -> None:
        """obstore sends no checksum there."""

    checked = comparing

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        if code == "NoSuchKey" and operation == "list":
            code = ""  # a listing names no object that could be missing
        if code == "NoSuchUpload":
            operation = CONTINUE
        elif code == "NoSuchBucket":
            operation = "list"  # then a 404 speaks of the bucket
        elif status in (404, 412, 416) and code not in _REASONS:
            return StoreUnavailableError(f"the store failed to {operation} ({status} {code})", key=url)
        return refusal_of_google(_REASONS.get(code, code), status, operation, url, said)


class OnAzure:
    """See `Lender`."""

    scheme: ClassVar[str] = "abfs"
    version: ClassVar[Literal["e_tag", "version"]] = "e_tag"
    proves_blocks: ClassVar[bool] = False
    """The SDK sends an MD5 with each block, which Azure compares; obstore would prove nothing."""
    block_size: ClassVar[int] = 8 * 1024**2  # each costs the SDK time
    deletes_together: ClassVar[int] = 1
    page: ClassVar[int] = 0
    copies: ClassVar[int] = 0  # Azure copies in its own time, and obstore does not wait
    has_folders: ClassVar[bool] = True

    compares_parts = False

    def comparing(self, _: str, /) -> None:
        """obstore sends no checksum there."""

    checked = comparing

    def refusal(self, code: str, status: int, operation: str, url: str, said: str) -> CkptptrError:
        return refusal_of_azure(code, status, _AZURE[operation], url, said)
