"""Azure Blob Storage (with or without hierarchical namespace), through an adlfs filesystem handed in.

Credentials, endpoint and timeouts are those that the filesystem resolved; inside Flyte flytekit itself uses
them. Every method of the port is one request, except a `copy` that Azure does not finish at once, payload
larger than one block, listings of more than 5000 objects, deletions, which are one for each object and each
folder that payload leaves empty, and reading an empty one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from azure.core import MatchConditions
from azure.storage.blob.aio import BlobPrefix

from ckptptr.clock import Clock, Patience, SystemClock
from ckptptr.errors import ConflictError, InvalidArgumentError, NotFoundError, StoreUnavailableError
from ckptptr.stores.azure import copy as azure_copy
from ckptptr.stores.azure.client import PATIENCE, AzureClient, url
from ckptptr.stores.azure.upload import MAX_BLOCKS, checksum, upload_blocks
from ckptptr.stores.azure.words import AZURE, metadata_name
from ckptptr.stores.capacity import OF_SDKS
from ckptptr.stores.emptied import Emptied
from ckptptr.stores.in_flight import each
from ckptptr.stores.line import Line
from ckptptr.stores.port import Block, Entry, Guarantee, Token
from ckptptr.stores.room import Room
from ckptptr.stores.sdk import check_length, guarantee_at, last_names, one_or_many, seconds

BLOCK_SIZE = 16 * 1024 * 1024
MAX_BLOCK_SIZE = 32 * 1024 * 1024
DELETES_IN_FLIGHT = 16


class AzureStore:
    """Keys are `container/path`. The token of an object is its ETag, quotes included.

    Args:
        filesystem: an `adlfs.AzureBlobFileSystem`, not an asynchronous one.
        metadata: user metadata for payload (`upload`, `copy`); LATEST and manifests carry none. Azure
            allows words for names, so that `flyte-execution-name` is stored as `flyte_execution_name`.
        block_size: what is moved in one request. Azure takes 50,000 blocks: 16 MiB allow objects of
            781 GiB. At most 32 MiB, which is what the SDK asks for at once.
        copy_patience: seconds without progress after which a copy is given up.
        patience: how long one call goes on when it fails.
        max_blocks: of one upload.
        page: objects in one answer of a listing.
        clock: by which a copy is waited for.
        line: what its uploads share; by default one of its own.
    """

    capacity = OF_SDKS

    def __init__(
        self,
        filesystem: Any,
        metadata: Mapping[str, str] | None = None,
        *,
        block_size: int = BLOCK_SIZE,
        copy_patience: float = 600.0,
        patience: Patience = PATIENCE,
        max_blocks: int = MAX_BLOCKS,
        page: int = 5000,
        clock: Clock | None = None,
        line: Line | None = None,
    ) -> None:
        if not 0 < block_size <= MAX_BLOCK_SIZE:
            raise InvalidArgumentError(f"a block size of {block_size} is not between 1 and {MAX_BLOCK_SIZE}")
        self.block_size = block_size
        self._copy_patience = copy_patience
        self._max_blocks = max_blocks
        self._page = page
        self._clock = clock or SystemClock()
        self._metadata = {metadata_name(name): value for name, value in (metadata or {}).items()}
        self._client = AzureClient(filesystem, patience, line)
        self._room = Room()

    @property
    def guarantee(self) -> Guarantee:
        """Known of Azure's own endpoints; of any other, nothing is known before it was asked."""
        return guarantee_at(self._client.endpoint, AZURE)

    @property
    def account(self) -> str:
        """The storage account that the filesystem talks to."""
        return self._client.account

    def url(self, key: str) -> str:
        return url(key)

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        body, properties = self._client.download(key, at_most=limit)
        if _is_directory(properties):
            raise NotFoundError("there is a directory and no object", key=self.url(key))
        if not properties.etag:
            raise StoreUnavailableError("the answer is not that of Azure", key=self.url(key))
        return body, Token(properties.etag)

    def create(self, key: str, body: bytes) -> Token:
        return self._put(key, body, overwrite=False)  # the SDK's word for If-None-Match: *

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        unmodified = MatchConditions.IfNotModified
        try:
            return self._put(key, body, overwrite=True, etag=token, match_condition=unmodified)
        except NotFoundError as error:
            raise ConflictError("the object is gone", key=self.url(key)) from error

    def list(self, folder: str) -> Iterator[Entry]:
        # Sorted here: Azure has an order of its own.
        return iter(sorted(self.stream(folder), key=lambda entry: entry.key))

    def delete(self, keys: Iterable[str]) -> None:
        emptied = Emptied()
        each(lambda key: self._client.start(self._delete(key)), emptied.noting(keys), DELETES_IN_FLIGHT)
        account = self._client.endpoint.partition("?")[0]
        emptied.remove(account, lambda name: self._client.start(self._client.send("delete_blob", name)))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        only, all_of_them = one_or_many(blocks)
        if only is not None:
            with self._client.line.taken(len(only)):
                self._put(key, only, overwrite=True, metadata=self._metadata)
        else:
            upload_blocks(
                self._client, key, all_of_them, self._metadata, room=self._room, max_blocks=self._max_blocks
            )
        return True  # each block was sent with its checksum

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        if length == 0:
            return
        with self._room.taken(length):
            body, properties = self._client.download(key, offset=start, length=length)
            if not properties.etag:
                raise StoreUnavailableError("the answer is not that of Azure", key=self.url(key))
            check_length(body, start, length, self.url(key))
            yield body

    def copy(self, source: str, key: str) -> None:
        azure_copy.copy(
            self._client, source, key, self._metadata, patience=self._copy_patience, clock=self._clock
        )

    def _put(self, key: str, body: bytes, **parameters: Any) -> Token:
        answer = self._client.call(
            "upload_blob", key, data=body, length=len(body), headers=checksum(body), **parameters
        )
        return Token(answer["etag"])

    def stream(self, folder: str) -> Iterator[Entry]:
        container = folder.partition("/")[0]
        # Only its metadata tells a directory (of an account with hierarchical namespace) from an object.
        return (
            Entry(
                f"{container}/{item.name}",
                item.size,
                seconds(item.last_modified),
                item.blob_tier == "Archive",
            )
            for item in self._items(folder, include=["metadata"])
            if not _is_directory(item)
        )

    def folders(self, folder: str) -> Sequence[str]:
        found = self._items(folder, delimiter="/")
        return last_names(item.name for item in found if isinstance(item, BlobPrefix))

    def _items(self, folder: str, **parameters: Any) -> Iterator[Any]:
        marker: str | None = None
        while True:
            found, marker = self._client.page(folder, marker, results_per_page=self._page, **parameters)
            yield from found
            if not marker:
                return

    async def _delete(self, key: str) -> None:
        with contextlib.suppress(NotFoundError):
            await self._client.send("delete_blob", key)


def _is_directory(properties: Any) -> bool:
    """Also a marker object, `folder/`, by which some programs make an empty folder: no key is like that."""
    marks = {name.lower(): value for name, value in (properties.metadata or {}).items()}
    return marks.get("hdi_isfolder") == "true" or properties.name.endswith("/")
