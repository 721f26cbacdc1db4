"""The manifest: an immutable list of what one checkpoint consists of. Its presence commits it.

A manifest only references objects of its own home, by paths relative to that home: a home stands
alone, wherever it is copied to. Anything else in it is damage, and so is a wrong checksum: a
manifest is never edited.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import msgspec

from ckptptr.errors import DamagedError, InvalidArgumentError
from ckptptr.hidden import HIDDEN
from ckptptr.protocol import sealed
from ckptptr.protocol.blocks import Blocks, block_for
from ckptptr.protocol.names import DATA, NUMBER_LIMIT, CheckpointId, Number, check_utf8, utf8

LIMIT = 512 * 1024 * 1024
"""The largest manifest, in bytes: 200 to 400 for each file, so that a million files fit."""
PATH_LIMIT = 2048
"""Of a path in a checkpoint, in bytes: a disk takes about 4,000 in all."""
_NAME_LIMIT = 255
_DEPTH_LIMIT = 256
_SHOWN = 200
"""How much of a text from a manifest is in a message: it may be of any length."""

_MAX_MODE = 0o7777
_MAX_MTIME_NS = (1 << 63) - 1


class FileRecord(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One file of a checkpoint.

    `path` is as the user wrote it, relative, with forward slashes. `object` is where its bytes are,
    relative to the home. `size` is in bytes. `xxh3_128` is the digest in hexadecimal; empty only for
    plain folders, which have none. `mode` are the permission bits where they are not 0o644. `mtime_ns` is
    when the file was last changed, in nanoseconds since 1970; None where it is not known. `blocks` are the
    digests of its blocks; None for a file of one block, and where they are not known.

    The garbage collector leaves it out: there may be a million, and none can be part of a cycle.
    """

    path: str
    object: str
    size: int
    xxh3_128: str
    mode: int | None = None
    mtime_ns: int | None = None
    blocks: Blocks | None = None

    @property
    def known_blocks(self) -> Blocks | None:
        """The blocks by which a part of the file can be verified: a file of one block has its own digest.
        None where only the digest of the whole is known, or none."""
        if self.blocks is None and self.xxh3_128 and self.size <= (block := block_for(self.size)):
            return Blocks(block, (self.xxh3_128,))
        return self.blocks

    def flaw(self) -> str:
        """What is not allowed in a manifest, in words; empty where all is well."""
        inside_home = is_plain_path(self.object) and self.object.startswith(f"{DATA}/")
        sane = 0 <= self.size < NUMBER_LIMIT and (self.mode is None or 0 <= self.mode <= _MAX_MODE)
        sane = sane and (self.mtime_ns is None or abs(self.mtime_ns) <= _MAX_MTIME_NS)
        if not (is_plain_path(self.path) and inside_home and sane and self.xxh3_128):
            return f"{_shown(self.object)} for the file {_shown(self.path)}, which is not allowed"
        if unfit := why_unfit(self.path):
            return f"the file {_shown(self.path)}: {unfit}"
        if self.blocks and not self.blocks.fit(self.size):
            return f"the file {_shown(self.path)} with blocks that are not those of its {self.size} bytes"
        return ""


ROWS = sealed.Rows("files", list[FileRecord])


class Lineage(msgspec.Struct, frozen=True):
    """Whose work this is, unhashed: Flyte's 32-bit node hash does collide.

    The `version` of the task is left out where it is not known. Another version is not other work: only
    `is_not_proven_by` looks at it.
    """

    project: str = ""
    domain: str = ""
    execution: str = ""
    node: str = ""
    task: str = ""
    version: str | msgspec.UnsetType = msgspec.UNSET

    def differs_from(self, other: Lineage) -> str:
        """Why `other` is not the same work, in words; empty where nothing speaks against it."""
        for field in ("project", "domain", "execution", "node", "task"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine and theirs and mine != theirs:
                return f"it belongs to {field} {theirs!r}, this is {mine!r}"
        return ""

    def collides_with(self, other: Lineage) -> bool:
        """Whether `other` is another node or task of the same execution: what a collision of hashes finds."""
        return self.execution == other.execution and self.differs_from(other) != ""

    def is_not_proven_by(self, other: Lineage) -> str:
        """Why `other` is not surely of the same task and version, in words; empty where it is, or where
        our own version is not known."""
        if not self.version or (other.task, other.version) == (self.task, self.version):
            return ""
        theirs = f"{other.task or 'unknown'}, version {other.version or 'unknown'}"
        return f"it belongs to task {theirs}; this is {self.task}, version {self.version}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """See PROTOCOL.md, section "Manifest".

    `parent` is what the run that wrote it had resumed from; `copied_from` is set on forward copies
    and names the source. Both are references as in LATEST. `folders` are empty folders. `put` is left out
    where a run made the checkpoint, and not a person.
    """

    id: str
    attempt: Number
    seq: Number
    step: int | None
    created_at: str
    created_by: str
    parent: str | None = None
    copied_from: str | None = None
    lineage: Lineage = Lineage()
    metadata: dict[str, Any] = {}
    files: tuple[FileRecord, ...]
    folders: tuple[str, ...] = ()
    total_bytes: Number
    put: bool | msgspec.UnsetType = msgspec.UNSET
    format: str = sealed.FORMAT
    checksum: str = ""

    @property
    def checkpoint_id(self) -> CheckpointId:
        return CheckpointId.parse(self.id)

    def encode(self, limit: int = LIMIT) -> bytes:
        """The bytes to store, sealed: `limit` at most.

        Raises:
            InvalidArgumentError: it says what `decode` would refuse, or JSON cannot.
        """
        flaw = self._flaw()
        if flaw:
            raise InvalidArgumentError(f"this cannot be saved as one checkpoint: it names {flaw}")
        try:
            body = sealed.encode(self, ROWS)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidArgumentError(
                f"the step or the metadata cannot be saved ({error})",
                hint="A step is a whole number; metadata are numbers, strings, lists and dictionaries",
            ) from error
        if len(body) > limit:
            raise InvalidArgumentError(
                f"this cannot be saved as one checkpoint: its manifest has more than {limit >> 20} MiB",
                hint="Save fewer files, as archives for example, or less metadata",
            )
        return body

    @classmethod
    def decode(cls, body: bytes, checkpoint: CheckpointId, url: str) -> Manifest:
        """Read a manifest that was stored under the name of `checkpoint`.

        Raises:
            DamagedError: not what was written, or it names what it must not.
            UnsupportedFormatError: written by a newer version.
        """
        if len(body) > LIMIT:
            raise DamagedError(f"the manifest has more than {LIMIT >> 20} MiB", key=url)
        document = sealed.unseal(body, "the manifest", url, ROWS)
        try:
            manifest = msgspec.convert(document, cls)
        except msgspec.ValidationError as error:
            raise DamagedError(f"the manifest is incomplete ({error})", key=url) from None
        if CheckpointId.match(manifest.id) != checkpoint:
            raise DamagedError(f"the manifest says it is {manifest.id[:_SHOWN]}", key=url)
        flaw = manifest._flaw()
        if flaw:
            raise DamagedError(f"the manifest names {flaw}", key=url)
        return manifest

    def _flaw(self) -> str:
        """What is named here and must not be, in words; empty where all is well."""
        for record in self.files:
            if flaw := record.flaw():
                return flaw
        for folder in self.folders:
            if not is_plain_path(folder):
                return f"the folder {_shown(folder)}, which is outside the checkpoint"
            if unfit := why_unfit(folder):
                return f"the folder {_shown(folder)}: {unfit}"
        files = {record.path for record in self.files}
        if len(files) != len(self.files):
            return "a file twice"
        # Many files share a folder; all folders of all files could be more text than the manifest.
        parents = {path.rpartition("/")[0] for path in files}
        above = (folder for path in chain(parents, self.folders) for folder in folders_above(f"{path}/"))
        both = next((folder for folder in above if folder in files), None)
        return f"{_shown(both)} as a file and as a folder" if both else ""


# msgspec works a type out when it first needs it, and crashes the process if two threads do so at once:
# an import works it out once, in one thread.
msgspec.json.Decoder(Manifest)
msgspec.json.Decoder(ROWS.type)


def folders_above(path: str) -> Iterator[str]:
    """The folders that a relative path runs through: `a` and `a/b` for `a/b/c`."""
    return (path[:place] for place, character in enumerate(path) if character == "/")


def is_plain_path(path: str) -> bool:
    """Relative, forward slashes, no empty, `.` or `..` segments, no NUL: cannot leave a folder."""
    framed = f"/{path}/"
    return not ("//" in framed or "/./" in framed or "/../" in framed or "\0" in path)


def why_unfit(path: str) -> str:
    """Why a plain path cannot be a file of a checkpoint, in words; empty where it can."""
    if f"/{HIDDEN}" in f"/{path}":
        return f"names that start with {HIDDEN} are ckptptr's own"
    if 4 * len(path) <= _NAME_LIMIT:
        return ""  # no character has more than 4 bytes
    names = path.split("/")
    if len(utf8(path)) > PATH_LIMIT or len(names) > _DEPTH_LIMIT:
        return f"a path has at most {PATH_LIMIT} bytes and {_DEPTH_LIMIT} names"
    if len(utf8(path)) > _NAME_LIMIT and any(len(utf8(name)) > _NAME_LIMIT for name in names):
        return f"a name has at most {_NAME_LIMIT} bytes"
    return ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def check_path(path: PurePosixPath | str) -> str:
    """`path` as a manifest may carry it.

    Raises:
        InvalidArgumentError: it could leave the checkpoint's folder.
    """
    text = str(path)
    if not is_plain_path(text):
        raise InvalidArgumentError("a file of a checkpoint needs a plain relative path", key=text)
    if unfit := why_unfit(text):
        raise InvalidArgumentError(f"this cannot be a file of a checkpoint: {unfit}", key=_shown(text))
    check_utf8(text, "a file name")
    return text


def whole_number(value: Any, what: str) -> int:
    """A whole number as JSON has it, also where numpy or torch counted.

    Raises:
        InvalidArgumentError: it is none.
    """
    try:
        return operator.index(value)
    except TypeError:
        raise InvalidArgumentError(f"{what} is {value!r}, not a whole number") from None


def plain_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The user's metadata as JSON will give it back; numbers of numpy and torch become plain ones.

    Raises:
        InvalidArgumentError: JSON cannot say it.
    """
    try:
        encoded = msgspec.json.encode(dict(metadata), enc_hook=_plain_number)
        return msgspec.json.decode(encoded, type=dict[str, Any])
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidArgumentError(f"the metadata cannot be said in JSON ({error})") from None


def _plain_number(value: Any) -> Any:
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__qualname__} is no plain value")
    return value.item()
