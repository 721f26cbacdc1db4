"""The port: all that the protocol asks of a place where bytes live.

A *store* is one filesystem with one set of credentials. A *key* is a full path in it, as the
store's own tools write it without the scheme: `bucket/data/x` on S3, `/data/x` on a disk. Keys
have no empty, `.` or `..` segments and no trailing slash. Folders do not exist: a folder is a
prefix that ends before a slash.

Every adapter keeps these promises. `ckptptr.testing.StoreConformance` checks each of them, but for what
only a failing network, a kill or a race of processes shows: that is up to the adapter's own tests.

- A read or a listing MUST see every write that returned before it started.
- `NotFoundError` MUST mean that the store answered "there is no such object". A timeout, a 5xx, a
  refused connection is `StoreUnavailableError`; a refusal is `AccessDeniedError`. Nothing else
  escapes from an adapter.
- `create` and `replace` MUST be atomic: the object has its old content or the whole new one, also
  after a kill. Of several racing writers exactly one wins; the others get `ConflictError`.
- A write that raised `ConflictError` or `StoreUnavailableError` MAY have landed all the same (the
  reply was lost, and the client's own retry then met it). The caller reads back; an adapter does
  not guess.
- An object becomes visible only when it is whole, also by `upload` and `copy`.
- All methods are safe to call from several threads.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NewType, Protocol, TypeAlias, runtime_checkable

from ckptptr.errors import StoreUnavailableError

Token = NewType("Token", str)
"""Names one version of one object (an ETag, a generation). Opaque; compared for equality only.

Equal bodies MAY have equal tokens (an S3 ETag is a digest): a caller that swaps puts something unique into
each body."""

Block: TypeAlias = "bytes | memoryview"
"""A piece of payload that came from a store; a view, where copying it was not worth while."""


GLANCE = 1024 * 1024
"""The `limit` of a read that is not for the content: as a rule all of it, so that connections are kept."""


UNSUPPORTED = (400, 405, 411, 415, 422, 501)
"""The HTTP statuses of a server that takes no such request, where no error code says something else."""


class UnsupportedError(StoreUnavailableError):
    """The answer is that the server takes no such request. One of another kind may do."""


class UploadGoneError(StoreUnavailableError):
    """The store has no such upload any more: it was aborted, or it is complete and the reply was lost."""


class Guarantee(enum.Enum):
    """What `create` and `replace` really give."""

    COMPARE_AND_SWAP = "compare-and-swap"
    LAST_WRITER_WINS = "last-writer-wins"
    UNPROVEN = "unproven"
    """It depends on the server: `ckptptr.stores.wrappers.probe` asks it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object in a listing. `size` is in bytes.

    `modified`: when it was written last by the clock of the store, in seconds since 1970; 0 if the store
    does not say.

    `is_archived`: what is in its class has to be brought back before it can be read; it may have been.
    """

    key: str
    size: int
    modified: float = field(default=0.0, compare=False)
    is_archived: bool = False


def folders_of(entries: Iterable[Entry], folder: str) -> Sequence[str]:
    """What `Store.folders` gives, from all that is below a folder."""
    below = (entry.key[len(folder) + 1 :].partition("/") for entry in entries)
    return sorted({name for name, slash, _ in below if slash})


class Store(Protocol):
    """Where bytes live."""

    @property
    def guarantee(self) -> Guarantee:
        """What `replace` gives here; declared by the adapter."""

    @property
    def block_size(self) -> int:
        """The size in bytes of the blocks in which `upload` likes to be fed, and `download` asked."""

    def url(self, key: str) -> str:
        """The key as a person writes it: `s3://bucket/data/x`, `/data/x`."""

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        """The whole (small) object and the token of exactly that version, in one request.

        Of a larger object than `limit` only the first `limit` bytes, and no more is kept in memory.

        Raises:
            NotFoundError: there is no such object.
        """

    def create(self, key: str, body: bytes) -> Token:
        """Write a small object that MUST NOT exist yet.

        Raises:
            ConflictError: it exists. It may be our own, see above.
        """

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        """Write a small object only while its version is still `token`.

        Raises:
            ConflictError: it has another version, or is gone.
        """

    def list(self, folder: str) -> Iterator[Entry]:
        """Every object below `folder/`, at any depth, in the order of the keys.

        A folder that nothing was ever written to yields nothing: that is a proof of absence.
        """

    def folders(self, folder: str) -> Sequence[str]:
        """The names right below `folder/` that have objects below them, in order; on a disk, and on some
        servers (SeaweedFS), also those that had some.

        It costs the same however many objects those have.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects. One that is already gone is no error."""

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        """Write an object of any size from consecutive blocks, each but the last of `block_size` bytes.

        Never more than a few blocks are held in memory. If `blocks` raises, nothing becomes visible
        under `key`, and its error passes through unchanged.

        Raises:
            UploadGoneError: the caller finds out whether the object is complete.

        Returns:
            Whether the store has proven by a checksum that all of it arrived. Where it has not, the
            caller looks at the size that is listed.
        """

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        """Exactly `length` bytes from offset `start`, in blocks as they come; 0 bytes without a request.

        The request is sent when the first block is asked for. What came before an error is good: who tries
        again goes on behind it. Who wants no more of it calls `close`.

        Raises:
            NotFoundError: there is no such object.
            DamagedError: the object ends before `start + length`.
        """

    def copy(self, source: str, key: str) -> None:
        """Copy inside the store, without the bytes passing through here, whatever the size.

        Raises:
            NotFoundError: there is no `source`.
        """


# What only some stores can tell. `ckptptr.stores.wrappers.around.unwrap` finds these.


@runtime_checkable
class HasAccount(Protocol):
    """A store in an account, as on Azure."""

    @property
    def account(self) -> str:
        """Its name; empty where it is unknown."""


@runtime_checkable
class HasEngine(Protocol):
    """A store whose payload may go by another engine."""

    def engine(self, key: str) -> str:
        """What moves payload to and from there, for people."""

    def why(self, key: str) -> str:
        """Why that does, for people."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What is under way at once at most: `room` bytes of payload in blocks, `requests` for payload."""

    room: int
    requests: int


@runtime_checkable
class HasCapacity(Protocol):
    """A store that says how much it moves at once."""

    @property
    def capacity(self) -> Capacity:
        """What goes beyond it waits: more threads would only cost time."""


@runtime_checkable
class HasStream(Protocol):
    """A store that lists without keeping the whole listing in memory."""

    def stream(self, folder: str) -> Iterator[Entry]:
        """Every object below a folder once, as the answers come, in any order. It is not tried again, and no
        objects are no proof of absence: `list` is."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A multipart upload whose parts are stored, and paid for, but make no object."""

    key: str
    upload_id: str
    begun: datetime


@runtime_checkable
class HasUnfinished(Protocol):
    """A store that knows the uploads that a kill left behind, as on S3."""

    def unfinished(self, folder: str) -> Iterator[Unfinished]:
        """The multipart uploads below a folder that were begun and neither completed nor aborted."""
