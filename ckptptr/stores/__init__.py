"""Where bytes live: one small port, an adapter each, and the one place that knows URL schemes."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Any

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.port import Entry, Guarantee, Store, Token

__all__ = ["Entry", "Guarantee", "Store", "Token", "open_store"]

_LATER = ("gs", "gcs", "abfs", "abfss", "az")
_SUPPORTED = "Supported are local paths, file://, s3:// and memory://."
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def open_store(
    url: str,
    *,
    filesystem: Any = None,
    storage_options: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
) -> tuple[Store, str]:
    """The store that a URL or path lives in, and its key there.

    A path is made absolute; `~` is left to the shell. Trailing slashes are dropped. What the port
    cannot name is refused and never quietly turned into another key: `..`, and on S3 a doubled slash.
    Nothing is percent-decoded, as nothing is by fsspec.

    Args:
        url: a local path, `file://`, `local://`, `s3://`, `s3a://` or `memory://` (one per process).
        filesystem: for S3, the s3fs filesystem to go through; what flytekit resolved, for example.
        storage_options: for S3, what to make one from, as fsspec takes it.
        metadata: for S3, user metadata of every payload object uploaded.

    Raises:
        InvalidArgumentError: not a URL that this version can open; nothing was asked of any store.
    """
    match = _URL.fullmatch(url)
    if not match:
        return _local(url, url)
    scheme, rest = match[1].lower(), match[2]
    if scheme in _LATER:
        raise InvalidArgumentError(
            f"{scheme}:// is not supported in this version of ckptptr", hint=_SUPPORTED
        )
    if scheme not in ("file", "local", "s3", "s3a", "memory"):
        raise InvalidArgumentError(f"{scheme}:// is not a kind of store ckptptr knows", hint=_SUPPORTED)
    if "?" in rest or "#" in rest:
        # Not repeated in full: a query can carry a signature.
        raise InvalidArgumentError(
            "a URL cannot have a query or a fragment here", key=re.split("[?#]", url)[0], hint="Leave it out."
        )
    if scheme in ("file", "local"):
        if not rest.startswith("/"):
            raise InvalidArgumentError(
                "a file URL has three slashes and no host", key=url, hint="file:///data/x"
            )
        return _local(rest, url)
    key = _object_key(rest, url)
    if scheme == "memory":
        return _process_memory(), key
    if not _BUCKET.fullmatch(key.partition("/")[0]):
        # Not repeated: people write `s3://access-key:secret@bucket`.
        raise InvalidArgumentError("the URL has no valid bucket name", hint="s3://bucket/folder")
    return _s3(filesystem, storage_options, metadata), key


def _local(path: str, url: str) -> tuple[Store, str]:
    from ckptptr.stores.local import LocalStore

    if not path:
        raise InvalidArgumentError("the path is empty")
    if ".." in path.split("/"):
        raise InvalidArgumentError("a path cannot have `..` segments", key=url)
    # POSIX lets exactly two leading slashes mean something else, and abspath keeps them.
    return LocalStore(), "/" + os.path.abspath(path).lstrip("/")


def _object_key(rest: str, url: str) -> str:
    key = rest.rstrip("/")
    if not key:
        raise InvalidArgumentError("the URL names nothing", key=url)
    segments = key.split("/")
    if "" in segments:
        raise InvalidArgumentError(
            "the URL has an empty segment (`//`)", key=url, hint="Write it with single slashes."
        )
    if "." in segments or ".." in segments:
        raise InvalidArgumentError("a URL cannot have `.` or `..` segments", key=url)
    return key


@functools.cache
def _process_memory() -> Store:
    from ckptptr.stores.memory import MemoryStore

    return MemoryStore()


def _s3(
    filesystem: Any, storage_options: Mapping[str, Any] | None, metadata: Mapping[str, str] | None
) -> Store:
    if filesystem is None:
        filesystem = _s3_filesystem(storage_options or {})
    elif storage_options:
        raise InvalidArgumentError("pass a filesystem or storage options, not both")
    elif "s3" not in filesystem.protocol:  # a name, or a tuple of names
        raise InvalidArgumentError(f"this filesystem is for {filesystem.protocol!r}, the URL is s3://")
    from ckptptr.stores.s3 import S3Store

    return S3Store(filesystem, metadata=metadata)


def _s3_filesystem(storage_options: Mapping[str, Any]) -> Any:
    import fsspec

    try:
        return fsspec.filesystem("s3", **{"use_listings_cache": False, **storage_options})
    except ImportError as error:
        raise InvalidArgumentError("s3:// needs s3fs", hint="pip install 'ckptptr[s3]'") from error
