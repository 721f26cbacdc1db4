"""What things are called, and where they stand.

    <node prefix>/LATEST                      the pointer
    <home>/manifests/<id>.json                commits the checkpoint <id>
    <home>/manifests/<id>.pin                 retention keeps it
    <home>/data/<id>/<path>                   its payload
    <home>/data/.sets/<round>/<nonce>.json    the id that several writers share (`protocol.parts`)
    <home>/data/.sets/<round>/<nonce>/<rank>-of-<world size>.json      what one of them has uploaded

An id is `<seq, 10 digits>-a<attempt, 4 digits>-<random>`. It sorts by age within an attempt and is
never reused: a stalled writer must not be able to recreate a deleted name and believe that it won.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import msgspec

from ckptptr.clock import Clock
from ckptptr.errors import InvalidArgumentError

LATEST = "LATEST"
MANIFESTS = "manifests"
DATA = "data"
SETS = f"{DATA}/.sets"
ATTEMPTS = "attempts"
"""Outside Flyte the folder in a node prefix that the homes are in, and CLAIMS that of the attempt numbers."""
CLAIMS = "claims"
NODES = "_ckptptr"
"""The folder in a root of Flyte that the node prefixes are in."""

BYTES_NAME = "_dst_cp"
"""The name under which stock flytekit stores bytes and readers (`SyncCheckpoint.TMP_DST_PATH`)."""

NUMBER_LIMIT = 10**18
"""Attempts and seqs are below it."""
DIGITS = "[0-9]{1,18}"
"""A pattern for such a number; it may begin with zeros."""
NUMERAL = "[1-9][0-9]{0,17}"
"""A pattern for one above 0 in its only right spelling."""
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=NUMBER_LIMIT)]
"""A number as LATEST and manifests have it: an attempt, a seq, a size."""

_ID = re.compile(r"([0-9]{10}|[1-9][0-9]{10,17})-a([0-9]{4}|[1-9][0-9]{4,17})-([a-z0-9]{6,})")
"""Only what `str(id)` writes: two spellings of one id would be two objects."""
_NONCE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class CheckpointId:
    """The name of one checkpoint. `(attempt, seq)` orders by age across attempts."""

    seq: int
    attempt: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.seq:010d}-a{self.attempt:04d}-{self.nonce}"

    @property
    def age(self) -> tuple[int, int, str]:
        """Sorts from the oldest to the newest."""
        return self.attempt, self.seq, self.nonce

    def is_named_by(self, reference: str) -> bool:
        """Whether `reference` is the path of this checkpoint's manifest, in whatever home."""
        return reference.endswith(f"/{MANIFESTS}/{self}.json")

    @classmethod
    def new(cls, seq: int, attempt: int, clock: Clock, nonce: str = "") -> CheckpointId:
        """A new id; `nonce` is drawn where it is not given.

        Raises:
            InvalidArgumentError: a number has more than 18 digits.
        """
        if max(seq, attempt) >= NUMBER_LIMIT:
            raise InvalidArgumentError(
                "there is no number left for another checkpoint: somebody made one with the highest",
                hint="Delete that one, or save somewhere else",
            )
        return cls(seq, attempt, nonce or clock.token(_NONCE_LENGTH))

    @classmethod
    def match(cls, text: str) -> CheckpointId | None:
        """The id that `text` is, or None where it is something else."""
        found = _ID.fullmatch(text)
        return cls(int(found[1]), int(found[2]), found[3]) if found else None

    @classmethod
    def parse(cls, text: str) -> CheckpointId:
        """Like `match`.

        Raises:
            InvalidArgumentError: `text` is no id.
        """
        found = cls.match(text)
        if found is None:
            raise InvalidArgumentError(
                "not a checkpoint id", key=text, hint="An id looks like 0000000017-a0003-k9x2abqz"
            )
        return found


def utf8(text: str) -> bytes:
    """Also of a name on a disk, or of an argument, that is not valid UTF-8."""
    return text.encode("utf-8", "surrogatepass")


def check_utf8(text: str, what: str) -> None:
    """Refuse what JSON cannot say: the bytes of a name on a disk, or of an argument, need not be UTF-8.

    Raises:
        InvalidArgumentError: `what` is no UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{what} is not valid UTF-8", key=repr(text)) from None


def latest_key(prefix: str) -> str:
    return f"{prefix}/{LATEST}"


def manifest_key(home: str, checkpoint: CheckpointId) -> str:
    return f"{home}/{MANIFESTS}/{checkpoint}.json"


def pin_key(home: str, checkpoint: CheckpointId) -> str:
    return f"{home}/{MANIFESTS}/{checkpoint}.pin"


def data_folder(checkpoint: CheckpointId) -> str:
    """Where the payload that a checkpoint uploaded is, relative to its home."""
    return f"{DATA}/{checkpoint}"


def payload_object(checkpoint: CheckpointId, path: str) -> str:
    """Where the payload of the file with that path is, relative to the home of its checkpoint.

    It has no backslash: Azure takes that for a slash, and some S3 servers refuse it. No two paths get the
    same object.
    """
    name = re.sub(r"%(?=5C|25)", "%25", path).replace("\\", "%5C")
    return f"{data_folder(checkpoint)}/{name}"


def sets_folder(home: str) -> str:
    return f"{home}/{SETS}"


def set_key(home: str, round_: str, nonce: str) -> str:
    return f"{sets_folder(home)}/{round_}/{nonce}.json"


def parts_folder(home: str, round_: str, nonce: str) -> str:
    """Where the records of the parts of a set are."""
    return f"{sets_folder(home)}/{round_}/{nonce}"


def uploader_of(home: str, key: str) -> CheckpointId | None:
    """The checkpoint that uploaded a payload object; None for any other key."""
    names = key[len(home) + 1 :].split("/")
    return CheckpointId.match(names[1]) if len(names) > 2 and names[0] == DATA else None


def round_and_nonce(home: str, key: str) -> tuple[str, str] | None:
    """The round and the nonce of the set that a key belongs to; None for any other key."""
    if not key.startswith(f"{sets_folder(home)}/"):
        return None
    round_, _, name = key[len(sets_folder(home)) + 1 :].partition("/")
    return round_, name.partition("/")[0].removesuffix(".json")


def split_manifest_key(key: str) -> tuple[str, CheckpointId] | None:
    """`(home, id)` of a manifest key, or None where it is the key of something else."""
    folder, _, name = key.rpartition("/")
    home, _, kind = folder.rpartition("/")
    checkpoint = CheckpointId.match(name.removesuffix(".json")) if name.endswith(".json") else None
    return (home, checkpoint) if home and kind == MANIFESTS and checkpoint else None
