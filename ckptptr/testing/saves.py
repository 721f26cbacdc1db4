"""Which save a request to the store belongs to: "kill it in the middle of save 3".

The objects that a save writes identify it (PROTOCOL.md, section 5): payload below `data/<id>/`, the
manifest of that id, then LATEST that names it. Saves are numbered from 1 in the order of their first
request. A forward copy also has an id but is not a save: its payload is copied, not uploaded, and its
manifest has `copied_from`. If ranks of one attempt save at once, a merge counts as one more save.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from ckptptr.protocol.names import DATA, LATEST, split_manifest_key
from ckptptr.protocol.pointer import Target

_PAYLOAD = re.compile(rf"/{DATA}/([0-9]+-a[0-9]+-[a-z0-9]+)/")
_Shape = TypeVar("_Shape")


class _Manifest(msgspec.Struct):
    copied_from: str | None = None


class _Latest(Target, frozen=True, kw_only=True):
    history: tuple[Target, ...] = ()


class Saves:
    """The saves that went through one store. Not thread-safe: the store has the lock."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, op: str, key: str, body: bytes = b"") -> int | None:
        """The number of the save that this request belongs to; None if it belongs to none."""
        if op not in ("create", "replace", "upload"):
            return None
        if found := _PAYLOAD.search(key):
            return self._count(found[1])
        if split := split_manifest_key(key):
            manifest = _parsed(body, _Manifest)
            return self._count(str(split[1])) if manifest and manifest.copied_from is None else None
        target = self.published(key, body)
        return self._named_by(target) if target else None

    @staticmethod
    def tells(key: str) -> bool:
        """Whether it is the body of this object that says which save it is of."""
        return key.rpartition("/")[2] == LATEST or split_manifest_key(key) is not None

    def published(self, key: str, body: bytes) -> Target | None:
        """The newest of the saves that LATEST names; None if it names none, or this is not LATEST."""
        named = _parsed(body, _Latest) if key.rpartition("/")[2] == LATEST else None
        targets = [named, *named.history] if named else []
        return max(filter(self._named_by, targets), key=self._named_by, default=None)

    def _count(self, checkpoint: str) -> int:
        return self._numbers.setdefault(checkpoint, len(self._numbers) + 1)

    def _named_by(self, target: Target) -> int:
        split = split_manifest_key(target.checkpoint)
        return self._numbers.get(str(split[1]), 0) if split else 0


def _parsed(body: bytes, shape: type[_Shape]) -> _Shape | None:
    try:
        return msgspec.json.decode(body, type=shape)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None  # not ours: a probe, a person's text
