"""Parts: one checkpoint of several writers, with no barrier between them and no leader.

The ranks that a platform started together are a *round*; its token is the incarnation that they share. The
parts that they save for one step are a *set*. The first writer names it, create-only, and so draws the one
id that all of them use. Each writer uploads its files and then puts a record of them. A writer that sees the
records of all ranks commits the manifest. It is a function of the records alone, so that two who do it write
the same bytes. Readers never look at a record: a checkpoint of parts is a checkpoint like any other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec
import xxhash

from ckptptr.errors import ConflictError, DamagedError
from ckptptr.protocol import sealed
from ckptptr.protocol.manifest import LIMIT, ROWS, FileRecord, Lineage, Manifest
from ckptptr.protocol.names import CheckpointId, parts_folder

_NAME = re.compile(r"([0-9]+)-of-([0-9]+)\.json")
_CLAIM = "commit-"
_SHOWN = 200
_Record = TypeVar("_Record", bound="_Sealed")


class _Sealed(msgspec.Struct, frozen=True, kw_only=True):
    format: str = sealed.FORMAT
    checksum: str = ""

    def encode(self) -> bytes:
        """The bytes to store, sealed."""
        return sealed.encode(self, ROWS)

    @classmethod
    def decode(cls: type[_Record], body: bytes, url: str) -> _Record:
        """Read what `encode` wrote.

        Raises:
            DamagedError: it is not that.
            UnsupportedFormatError: a newer version wrote it.
        """
        if len(body) > LIMIT:
            raise DamagedError(f"the record has more than {LIMIT >> 20} MiB", key=url)
        document = sealed.unseal(body, "the record", url, ROWS)
        try:
            return msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise DamagedError(f"the record is incomplete ({error})", key=url) from None


class Named(_Sealed, frozen=True, kw_only=True):
    """The record that names a set: the id that all its writers use, and what the manifest says of itself."""

    id: str
    step: int
    world_size: int
    created_at: str
    created_by: str
    parent: str | None = None
    lineage: Lineage = Lineage()

    def __post_init__(self) -> None:
        if CheckpointId.match(self.id) is None:
            raise ValueError(f"the id is {self.id[:_SHOWN]!r}")

    @property
    def checkpoint_id(self) -> CheckpointId:
        return CheckpointId.parse(self.id)


class Part(_Sealed, frozen=True, kw_only=True):
    """The record of one writer: what it has uploaded. `rank` counts from 0."""

    rank: int
    files: tuple[FileRecord, ...]
    folders: tuple[str, ...] = ()
    metadata: dict[str, Any] = {}


# As for `Manifest`: msgspec works a type out when it first needs it, which two threads must not do at once.
msgspec.json.Decoder(Named)
msgspec.json.Decoder(Part)


def nonce_of(round_: str, step: int, world_size: int) -> str:
    """The random part of the id of a set. A round draws its token, so that no other set has it."""
    return xxhash.xxh3_64_hexdigest(f"{round_}/{step}/{world_size}".encode())


def part_key(home: str, round_: str, nonce: str, rank: int, world_size: int) -> str:
    return f"{parts_folder(home, round_, nonce)}/{rank}-of-{world_size}.json"


def claim_key(records: str, number: int) -> str:
    """What a rank creates before it commits, so that not all ranks read the records of all."""
    return f"{records}/{_CLAIM}{number}"


def claims_in(keys: Iterable[str]) -> int:
    return sum(key.rpartition("/")[2].startswith(_CLAIM) for key in keys)


def rank_of(key: str, world_size: int) -> int | None:
    """The rank whose record stands under `key`; None where it is no record of that world size."""
    found = _NAME.fullmatch(key.rpartition("/")[2])
    rank = int(found[1]) if found and int(found[2]) == world_size else -1
    return rank if 0 <= rank < world_size else None


def assemble(named: Named, parts: Sequence[Part]) -> Manifest:
    """The manifest that the parts of all ranks make: of equal files and metadata the lowest rank's counts.

    Raises:
        ConflictError: two ranks have saved different files under one path.
    """
    parts = sorted(parts, key=lambda part: part.rank)
    files: dict[str, tuple[int, FileRecord]] = {}
    metadata: dict[str, Any] = {}
    for part in parts:
        for record in part.files:
            rank, first = files.setdefault(record.path, (part.rank, record))
            if (first.size, first.xxh3_128) != (record.size, record.xxh3_128):
                raise ConflictError(
                    f"ranks {rank} and {part.rank} have saved different files under one path",
                    key=record.path,
                    hint="Put the rank into the names of the files that only this rank has",
                )
        metadata = {**part.metadata, **metadata}
    records = [files[path][1] for path in sorted(files)]
    checkpoint = named.checkpoint_id
    return Manifest(
        id=named.id,
        attempt=checkpoint.attempt,
        seq=checkpoint.seq,
        step=named.step,
        created_at=named.created_at,
        created_by=named.created_by,
        parent=named.parent,
        lineage=named.lineage,
        metadata=metadata,
        files=tuple(records),
        folders=tuple(sorted({folder for part in parts for folder in part.folders})),
        total_bytes=sum(record.size for record in records),
    )


def missing(keys: Iterable[str], world_size: int) -> list[int]:
    """The ranks that have no record under `keys`, in order."""
    there = {rank_of(key, world_size) for key in keys}
    return [rank for rank in range(world_size) if rank not in there]
