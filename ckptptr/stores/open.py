"""The one function that opens stores: which adapter a URL needs, and whether obstore moves its payload."""

from __future__ import annotations

import functools
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from weakref import WeakValueDictionary

from ckptptr.errors import InvalidArgumentError, StoreUnavailableError
from ckptptr.logs import escape_control_characters
from ckptptr.settings import ALLOW_ROOTS, STRICT
from ckptptr.stores.capacity import capacity_of
from ckptptr.stores.obstore.lending import chosen, explained
from ckptptr.stores.port import Entry, Guarantee, HasAccount, Store, Token
from ckptptr.stores.sdk import shown, start_event_loop
from ckptptr.stores.urls import Location, is_access_point, lost_slash, split

_log = logging.getLogger("ckptptr.stores")

__all__ = ["Entry", "Guarantee", "Store", "Token", "open_store"]

_NODES = "/_ckptptr/"
"""Before it is the root of an execution, see the protocol's `NODES`."""
_SUPPORTED = "Supported are local paths, file://, s3://, gs://, abfs:// and memory://"
_AZURE = "Set AZURE_STORAGE_ACCOUNT_NAME, or AZURE_STORAGE_CONNECTION_STRING"
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class _Cloud:
    """A cloud: the folder of its adapter, which is the name of our extra too; its adapter; the package of
    its fsspec filesystem, and the class in it; who lends from that to obstore; and who does without it."""

    module: str
    adapter: str
    filesystem: str
    kind: str
    lender: str
    configured: str


_CLOUDS = {
    "s3": _Cloud("s3", "S3Store", "s3fs", "S3FileSystem", "S3Lender", "ConfiguredS3"),
    "gs": _Cloud("gcs", "GCSStore", "gcsfs", "GCSFileSystem", "GCSLender", "ConfiguredGCS"),
    "abfs": _Cloud("azure", "AzureStore", "adlfs", "AzureBlobFileSystem", "AzureLender", "ConfiguredAzure"),
}
_around: list[Callable[[Store], Store]] = []
_payloads: WeakValueDictionary[tuple[object, ...], Any] = WeakValueDictionary()


def wrap_every_store(wrap: Callable[[Store], Store]) -> None:
    """Put a store around each that is opened in this process from now on: for tests that inject faults."""
    _around.append(wrap)


def open_store(
    url: str | os.PathLike[str],
    *,
    filesystem: Any = None,
    storage_options: Mapping[str, Any] | None = None,
    metadata: Mapping[str, str] | None = None,
    root: str = "",
    settings: Mapping[str, Any] | None = None,
) -> tuple[Store, str]:
    """The store that a URL or path lives in, and its key there.

    A path is made absolute, and `~` is the home folder. Trailing slashes are dropped. What the port
    cannot name is refused and never quietly turned into another key: `..`, on a cloud a doubled
    slash, a control character, and a URL that lost a slash (`s3:/bucket/x`, as `pathlib.Path` makes it).
    Nothing is percent-decoded, as nothing is by fsspec.

    Args:
        url: a local path or `file://`; `s3://`, `s3a://`; `gs://`, `gcs://`; `abfs://`, `abfss://`,
            `az://`; `memory://` (one per process).
        filesystem: for a cloud, the fsspec filesystem to go through; what flytekit resolved, say.
        storage_options: for a cloud, what to make one from, as fsspec takes it.
        metadata: for a cloud, user metadata of every payload object uploaded.
        settings: for a cloud, in place of a filesystem: those of obstore, which then sends all requests.
        root: on a disk, the folder that links must not lead out of; by default that of the URL, or of the
            execution that it is in.

    Raises:
        InvalidArgumentError: not a URL that this version can open; nothing was asked of any store.
        AccessDeniedError: on Google there are no credentials.
        StoreUnavailableError: on Google the server of the credentials did not answer.
    """

    def on_cloud(place: Location) -> Store:
        if settings is None:
            return _on_cloud(place, filesystem, storage_options, metadata)
        if is_access_point(place.key.partition("/")[0]):
            raise InvalidArgumentError(
                "obstore takes no ARN of an access point", key=os.fspath(url), hint="Name the bucket"
            )
        from ckptptr.stores.obstore import configured
        from ckptptr.stores.obstore.store import ObstoreStore

        return ObstoreStore(getattr(configured, _CLOUDS[place.scheme].configured)(settings, metadata))

    store, key = _opened(os.fspath(url), root, on_cloud)
    for wrap in _around:
        store = wrap(store)
    return store, key


def _opened(url: str, root: str, on_cloud: Callable[[Location], Store]) -> tuple[Store, str]:
    escape_control_characters()
    place = split(url)
    if place.scheme not in ("file", "memory", *_CLOUDS):
        raise InvalidArgumentError(f"{place.scheme}:// is not a kind of store ckptptr knows", hint=_SUPPORTED)
    bucket = re.split("[/?#]", place.key)[0]
    is_bucket = _BUCKET.fullmatch(bucket) or (place.scheme == "s3" and is_access_point(bucket))
    if place.scheme in _CLOUDS and bucket and not is_bucket:
        # Before what repeats the URL: people write `s3://access-key:secret@bucket`.
        raise InvalidArgumentError(
            "the URL has no valid bucket name", hint=f"It looks like {place.scheme}://bucket/folder"
        )
    if "://" in url and ("?" in place.key or "#" in place.key):
        # Not repeated in full: a query can carry a signature.
        raise InvalidArgumentError(
            "a URL cannot have a query or a fragment here", key=re.split("[?#]", url)[0], hint="Leave it out"
        )
    if place.scheme == "file":
        return _local(place.key, url, root)
    key = _object_key(place.key, url)
    _refuse_control_characters(key, url)
    return _process_memory() if place.scheme == "memory" else on_cloud(place), key


def _local(path: str, url: str, root: str) -> tuple[Store, str]:
    from ckptptr.stores.local.inside import Inside
    from ckptptr.stores.local.lock import has_locks
    from ckptptr.stores.local.store import LocalStore

    if not path:
        raise InvalidArgumentError("the path is empty")
    if "://" in url and not path.startswith("/"):
        raise InvalidArgumentError(
            "a file URL has three slashes and no host", key=url, hint="It looks like file:///data/x"
        )
    if ".." in path.split("/"):
        raise InvalidArgumentError("a path cannot have `..` segments", key=url)
    if meant := "" if "://" in url else lost_slash(path):
        raise InvalidArgumentError("this is neither a URL nor a path", key=url, hint=f"Write {meant}")
    if path.startswith("~"):
        path = os.path.expanduser(path)
        if path.startswith("~"):
            raise InvalidArgumentError(
                "there is no such user", key=url, hint=f"A folder of that name is ./{url}"
            )
    # POSIX lets exactly two leading slashes mean something else, and abspath keeps them.
    key = "/" + os.path.abspath(path).lstrip("/")
    _refuse_control_characters(key, key)
    inside = Inside(split(root).key if root else key.partition(_NODES)[0], _allowed())
    return LocalStore(inside=inside, has_locks=has_locks(key)), key


def _allowed() -> list[str]:
    """The other folders that people may name, and so link to."""
    places = map(split, () if STRICT.read() else ALLOW_ROOTS.read())
    return [place.key for place in places if place.scheme == "file"]


def _refuse_control_characters(key: str, url: str) -> None:
    """No reference may have them, and so nothing that is saved there could be named."""
    if not key.isprintable():
        raise InvalidArgumentError(
            "the path has a control character, or another one that is not printable", key=repr(url)
        )


def _object_key(rest: str, url: str) -> str:
    key = rest.rstrip("/")
    if not key:
        raise InvalidArgumentError("the URL names nothing", key=url)
    segments = key.split("/")
    if "" in segments:
        raise InvalidArgumentError(
            "the URL has an empty segment (`//`)", key=url, hint="Write it with single slashes"
        )
    if "." in segments or ".." in segments:
        raise InvalidArgumentError("a URL cannot have `.` or `..` segments", key=url)
    return key


@functools.cache
def _process_memory() -> Store:
    from ckptptr.stores.memory import MemoryStore

    return MemoryStore()


def _on_cloud(
    place: Location,
    filesystem: Any,
    storage_options: Mapping[str, Any] | None,
    metadata: Mapping[str, str] | None,
) -> Store:
    cloud = _CLOUDS[place.scheme]
    if filesystem is None:
        filesystem = _filesystem(place, cloud, storage_options or {})
    elif storage_options:
        raise InvalidArgumentError("pass a filesystem or storage options, not both")
    elif place.scheme not in filesystem.protocol:  # a name, or a tuple of names
        raise InvalidArgumentError(
            f"this filesystem is for {filesystem.protocol!r}, the URL is {place.scheme}://"
        )
    adapter = getattr(import_module(f"ckptptr.stores.{cloud.module}.store"), cloud.adapter)
    store: Store = adapter(filesystem, metadata=metadata)
    held_by = store.account if isinstance(store, HasAccount) else ""
    if place.account and held_by not in ("", place.account):
        raise InvalidArgumentError(
            f"the URL names account {place.account}, the credentials are for {held_by}"
        )
    if chosen() == "fsspec":
        bucket = place.key.partition("/")[0]
        why = explained(store.block_size, capacity_of(store).room)
        _log.info("%s moves payload to and from %s: %s", cloud.filesystem, store.url(bucket), why)
        return store
    from ckptptr.stores.obstore.fast import FastLane

    return FastLane(store, _payload(cloud, filesystem, metadata or {}))


def _payload(cloud: _Cloud, filesystem: Any, metadata: Mapping[str, str]) -> Any:
    """obstore's clients of a filesystem. All that is opened with it shares them, and their connections."""
    from ckptptr.stores.obstore.store import ObstoreStore

    key = (id(filesystem), *sorted(metadata.items()))  # no other has that id while the lender holds this one
    payload = _payloads.get(key)
    if payload is None:
        lender = getattr(import_module(f"ckptptr.stores.obstore.lend_{cloud.module}"), cloud.lender)
        payload = _payloads[key] = ObstoreStore(lender(filesystem, metadata))
    return payload


def filesystem_at(url: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    """The fsspec filesystem of a URL or path, and its path there: for what the port has no word for.

    Raises: as `open_store`.
    """
    place = split(url)
    if place.scheme in _CLOUDS:
        return _filesystem(place, _CLOUDS[place.scheme], storage_options), place.key
    import fsspec

    filesystem, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return filesystem, path


def _filesystem(place: Location, cloud: _Cloud, storage_options: Mapping[str, Any]) -> Any:
    account = {"account_name": place.account} if place.account else {}
    start_event_loop()
    try:
        # Not through fsspec's registry: an import of `flyte.storage` puts obstore's filesystems there.
        kind = getattr(import_module(cloud.filesystem), cloud.kind)
        return kind(**{"use_listings_cache": False, **account, **storage_options})
    except ImportError as error:
        raise InvalidArgumentError(
            f"{place.scheme}:// needs {cloud.filesystem}", hint=f"pip install 'ckptptr[{cloud.module}]'"
        ) from error
    except ValueError as error:  # what adlfs says of incomplete settings
        raise InvalidArgumentError(
            f"{cloud.filesystem} cannot connect with the settings given ({type(error).__name__})",
            hint=_AZURE
            if place.scheme == "abfs"
            else "Check the storage options, and the credentials of this machine",
        ) from None
    except OSError as error:  # gcsfs asks Google about a token, in a URL that it then shows
        raise StoreUnavailableError(
            f"{cloud.filesystem} could not connect ({type(error).__name__})",
            key=f"{place.scheme}://{place.key}",
            hint="It looks up its credentials first: check them and the network",
        ) from shown(error)
    except Exception:
        if place.scheme != "gs":
            raise
        with import_module("ckptptr.stores.gcs.errors").authorized(f"gs://{place.key}"):
            raise
