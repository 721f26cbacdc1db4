"""The bucket that a history is lived in: the kind of store, the layout, and what there was before."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from ckptptr.errors import CkptptrError, ConflictError, NotFoundError
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.node import Node, Origin
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee, Store
from tests.helpers import World, id_of

PLAIN = "run"
FLYTE = "data/_ckptptr/project/domain/execution/n0"
FLYTE_2 = "data/_ckptptr/project/domain/execution/a0_v2"
STORES = ("memory", "memory", "memory", "last writer", "disk", "obstore")


@dataclass(frozen=True)
class Setting:
    """What a history is drawn with.

    Attributes:
        store: one of `STORES`, or of `tests.histories.served.ENGINES`.
        origin: where the node begins that has nothing: `seed`, `recovered` (which the first attempt only is
            told) or nowhere.
    """

    store: str
    layout: str
    origin: Literal["", "seed", "recovered"]
    is_strict: bool

    @staticmethod
    def drawn(chance: random.Random, stores: tuple[str, ...]) -> Setting:
        return Setting(
            chance.choice(stores),
            chance.choice([PLAIN, FLYTE, FLYTE_2]),
            chance.choice(["", "", "seed", "recovered"]),
            chance.random() < 0.2,
        )

    @property
    def is_fair(self) -> bool:
        """Whether conditional writes hold: else an update of LATEST may be lost."""
        return self.store != "last writer"


class Place(World):
    """A bucket with one node, and perhaps another one that it begins from.

    Args:
        store: of a server, with the bucket in it; else the place makes its own.
    """

    def __init__(self, scratch: Path, setting: Setting, store: tuple[Store, str] | None = None) -> None:
        self.setting = setting
        disk = str(scratch / "bucket")
        of_its_own, bucket = store or (_made(setting.store), disk if setting.store == "disk" else "bucket")
        super().__init__(scratch, f"{bucket}/{setting.layout}", store=of_its_own, bucket=bucket)
        self._nodes: dict[int, Node] = {}
        self.before: dict[str, dict[str, str]] = {}
        """The contents of what the origin has, by id."""
        self._origin: Origin | None = None
        if setting.origin:
            self._origin = self._begin_elsewhere()

    def node(self, attempt: int, **changes: Any) -> Node:
        attempt = max(attempt, self.first_attempt)
        if attempt not in self._nodes:
            self._nodes[attempt] = super().node(attempt)
        return replace(self._nodes[attempt], **changes)

    def node_of_run(self, attempt: int) -> Node:
        """As the process of an attempt has it; a person and the witness look without its limits."""
        node = self.node(attempt)
        root = replace(node.root, strict=self.setting.is_strict)
        return replace(node, root=root, origins=(self._origin,) if self.may_begin(attempt) else ())

    def may_begin(self, attempt: int) -> bool:
        """Whether this attempt is told of the origin."""
        is_first = attempt == self.first_attempt
        return self._origin is not None and (is_first or self.setting.origin == "seed")

    def key_of(self, reference: str) -> str:
        """Also of what the origin has on a disk, outside the root."""
        return reference if reference.startswith("/") else super().key_of(reference)

    def find(self, pattern: str = "") -> list[str]:
        return [key for key in super().find(pattern) if "earlier" not in key]

    def _begin_elsewhere(self) -> Origin:
        layout = self.setting.layout
        there = layout.replace("execution", "earlier") if layout == FLYTE else f"earlier/{layout}"
        key = f"{self.bucket}/{there}"
        old = World(self._scratch, key, beside=self)
        first = self.first_attempt
        for attempt, step in ((first, 1), (first + 1, 2)):
            run = old.process(attempt)
            run.restore()
            run.save({"model": f"earlier {step}", "frozen": "same"}, step=step)
        for name in old.named():
            self.before[id_of(name)] = old.content(name)
        last = old.node(first + 1)
        if self.setting.origin == "seed":
            return seed_of(self.store, self.node(first).root, self.store.url(key))[0]
        homes = (last.home, old.node(first).home)
        return Origin(what="execution 'earlier'", homes=lambda *_: homes, prefix=key, root=last.root)


def _made(kind: str) -> Store:
    if kind == "disk":
        return LocalStore()
    if kind == "obstore":
        from ckptptr.stores.obstore.store import ObstoreStore

        return ObstoreStore(InMemory())
    return MemoryStore(Guarantee.LAST_WRITER_WINS if kind == "last writer" else Guarantee.COMPARE_AND_SWAP)


class InMemory:
    """Lends obstore's own store in memory, which has no words for its refusals."""

    name: ClassVar[str] = "memory"
    scheme: ClassVar[str] = "memory"
    version: ClassVar[Literal["e_tag", "version"]] = "e_tag"
    proves_blocks: ClassVar[bool] = True
    block_size: ClassVar[int] = 1024
    deletes_together: ClassVar[int] = 1
    page: ClassVar[int] = 0
    copies: ClassVar[int] = 1 << 30
    has_folders: ClassVar[bool] = False
    metadata: Mapping[str, str] = {}
    guarantee = Guarantee.COMPARE_AND_SWAP
    answer = 120.0
    compares_parts = False

    def __init__(self) -> None:
        from obstore.store import MemoryStore as ObstoreMemory

        self._cloud = ObstoreMemory()

    def client(self, _: str) -> Any:
        return self._cloud

    def comparing(self, _: str, /) -> None:
        """It compares nothing."""

    def checked(self, _: str, /) -> None:
        """No bucket wants a checksum there."""

    def refusal(self, _: str, __: int, operation: str, url: str, said: str) -> CkptptrError:
        kind = ConflictError if operation in ("create", "replace") else NotFoundError
        return kind(f"{operation}: {said}", key=url)
