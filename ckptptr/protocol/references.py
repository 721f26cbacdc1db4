"""How LATEST, manifests and people name a checkpoint, and what they may name.

References are relative to the root, so that a whole root copied to another bucket restores
unchanged. People may also write an id, an absolute URI, a folder, or `none` for a fresh start.
What they may name: anything in the root's own bucket (on a disk: below the root), and what
`CKPTPTR_ALLOW_ROOTS` lists. What the machine writes goes through `Root.ref`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.names import DATA, MANIFESTS, CheckpointId, split_manifest_key
from ckptptr.stores.urls import split

FRESH = "none"
"""The reference that means: start from nothing."""

_FILE = "file"

LIMIT = 4096
"""How many characters a reference may have: as many as a path on a disk, and more than any cloud takes."""
_SHOWN = 200
_NOT_STRICT = "Unset CKPTPTR_STRICT to permit it"


@dataclass(frozen=True, slots=True)
class Fresh:
    """A fresh start was chosen."""


@dataclass(frozen=True, slots=True)
class ById:
    """A checkpoint of this node, wherever its home is."""

    id: CheckpointId


@dataclass(frozen=True, slots=True)
class AtManifest:
    """The checkpoint that `<home>/manifests/<id>.json` commits."""

    home: str
    id: CheckpointId


@dataclass(frozen=True, slots=True)
class InFolder:
    """A home (its newest checkpoint is meant) or a plain folder of files."""

    folder: str


Reference: TypeAlias = Fresh | ById | AtManifest | InFolder


@dataclass(frozen=True, slots=True)
class Root:
    """The raw-output base of an execution: what references are relative to.

    Args:
        scheme: of the store: `s3`, `gs`, `abfs`, `file`, `memory`.
        base: the key of the root itself, without a trailing slash.
        allowed: keys below which people may name things besides (`CKPTPTR_ALLOW_ROOTS`).
        strict: nothing else in the bucket may be named, and no plain folder restored (`CKPTPTR_STRICT`).
    """

    scheme: str
    base: str
    allowed: tuple[str, ...] = ()
    strict: bool = False

    def ref(self, key: str) -> str:
        """How LATEST and manifests name `key`: relative inside the root, else absolute."""
        if _is_below(key, self.base):
            inside = key[len(self.base) + 1 :]
            if _word(inside) is None:  # else it is a folder only when it is written in full
                return inside
        return key if self.scheme == _FILE else f"{self.scheme}://{key}"

    def key(self, ref: str) -> str:
        """The key that a reference names.

        Raises:
            InvalidArgumentError: it leaves what may be named, or is no path at all.
        """
        if "://" in ref:
            place = split(ref)
            if place.scheme != self.scheme:
                raise InvalidArgumentError(
                    f"the reference is in another kind of store than {self.scheme}://", key=ref
                )
            key = place.key
        elif ref.startswith("/"):
            if self.scheme != _FILE:
                raise InvalidArgumentError(
                    "the reference begins with a slash: it is neither relative to the root nor a URI",
                    key=ref,
                    hint=f"Write it relative to the root, or as {self.scheme}://bucket/...",
                )
            key = ref
        else:
            key = f"{self.base}/{ref}"
        key = key.rstrip("/")
        if any(segment in {"", ".", ".."} for segment in key.lstrip("/").split("/")) or not key.isprintable():
            raise InvalidArgumentError("the reference is not a plain path", key=ref)
        if not self._may_name(key):
            if self.strict:
                raise InvalidArgumentError(
                    "the reference leaves the root, and CKPTPTR_STRICT is set", key=ref, hint=_NOT_STRICT
                )
            raise InvalidArgumentError(
                "the reference leaves the root (CKPTPTR_ALLOW_ROOTS lists what else may be named)",
                key=ref,
                hint="List the other place in CKPTPTR_ALLOW_ROOTS to permit it",
            )
        return key

    def may_name(self, ref: str) -> bool:
        """Whether a process with this root takes what `ref` names."""
        try:
            self.key(ref)
        except InvalidArgumentError:
            return False
        return True

    def check_plain(self, folder: str) -> None:
        """Refuse a plain folder, which has no digests.

        Raises:
            InvalidArgumentError: in strict mode.
        """
        if self.strict:
            raise InvalidArgumentError(
                "a plain folder has no digests, and CKPTPTR_STRICT is set", key=folder, hint=_NOT_STRICT
            )

    def manifest_at(self, reference: str) -> AtManifest | None:
        """The manifest that a reference as the machine writes it names, inside the root; else None."""
        found = split_manifest_key(f"{self.base}/{reference}")
        return AtManifest(*found) if found else None

    def bucket_of(self, key: str) -> str:
        """The bucket a key is in; on a disk there is one, the root itself or what is outside it."""
        if self.scheme == _FILE:
            return self.base if _is_below(key, self.base) else key
        return key.partition("/")[0]

    def _may_name(self, key: str) -> bool:
        if not self.strict and self.bucket_of(key) == self.bucket_of(self.base):
            return True
        return any(key == place or _is_below(key, place) for place in (self.base, *self.allowed))

    def parse(self, text: str) -> Reference:
        """What `text` names.

        Raises:
            InvalidArgumentError: nothing that may be named.
        """
        text = text.strip()
        if not text:
            raise InvalidArgumentError("the reference is empty")
        if len(text) > LIMIT:
            raise InvalidArgumentError(f"the reference has more than {LIMIT} characters", key=shortened(text))
        word = _word(text)
        if word is not None:
            return word
        key = self.key(text)
        return _inside_home(key) or InFolder(key)


def shortened(text: str) -> str:
    """As it is shown: a person's text may have any length."""
    return text if len(text) <= LIMIT else f"{text[:_SHOWN]}..."


def _word(text: str) -> Fresh | ById | None:
    """What `text` means where it is no path."""
    if text.lower() == FRESH:
        return Fresh()
    checkpoint = CheckpointId.match(text.removesuffix(".json"))
    return ById(checkpoint) if checkpoint else None


def _inside_home(key: str) -> Reference | None:
    """The checkpoint or home that a path to one of its parts means."""
    segments = key.split("/")
    for place in range(len(segments) - 1, 0, -1):
        home, kind, rest = "/".join(segments[:place]), segments[place], segments[place + 1 :]
        if kind == MANIFESTS and not rest:
            return InFolder(home)
        if kind in {MANIFESTS, DATA} and rest:
            checkpoint = CheckpointId.match(rest[0].removesuffix(".json").removesuffix(".pin"))
            if checkpoint:
                return AtManifest(home, checkpoint)
    return None


def _is_below(key: str, folder: str) -> bool:
    return key.startswith(f"{folder}/")
