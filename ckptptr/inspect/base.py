"""ROOT of `find`, `du` and `clean`: a raw-output base, or a project, domain, execution or node below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ckptptr.clock import SystemClock
from ckptptr.errors import StoreUnavailableError
from ckptptr.inspect.lookup import nodes_below
from ckptptr.inspect.many import Many, in_parallel
from ckptptr.inspect.survey import FoundHome, Survey, everywhere, folders_of, survey
from ckptptr.inspect.target import NothingThereError, patient_store
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import LATEST, NODES

Tell = Callable[[int], object]


@dataclass(frozen=True)
class Base(Many):
    """A raw-output base, and what of it is meant.

    `key`: of the base. `inside`: the folder of node prefixes that is meant; "" for the whole base.
    `is_flyte_2`: `key` is the base of a run of Flyte 2, or of many.
    """

    key: str
    inside: str
    is_flyte_2: bool = False

    @staticmethod
    def at(url: str, options: Mapping[str, Any], *, flyte_2: bool = False) -> Base:
        """What `url` means. Sends no request."""
        clock = SystemClock()
        store, key = patient_store(url, options, clock)
        base, mark, names = f"{key}/".partition(f"/{NODES}/")
        if mark and "://" not in store.url(base):  # on a disk links must stay below the base
            store, _ = patient_store(base, options, clock)
        inside = names.rstrip("/").removesuffix(LATEST).rstrip("/")
        return Base(
            patient=store,
            clock=clock,
            options=options,
            key=base if mark else key,
            inside=f"{base}/{NODES}/{inside}" if inside else "",
            is_flyte_2=flyte_2 and not mark,
        )

    @property
    def url(self) -> str:
        return self.patient.url(self.inside or self.key)

    def nodes(self, tell: Tell = lambda _: None) -> Survey:
        """The nodes that have a LATEST: one listing; for Flyte 2 one of each shard.

        Raises:
            NothingThereError: there is none.
        """
        found = survey(self.patient, self._folders, tell)
        if self.is_flyte_2 and not found.nodes:  # it is above the bases of runs
            found = survey(self.patient, self._everywhere, tell)
        return self._with_latest(found)

    def everything(self, tell: Tell) -> Survey:
        """The nodes that have a LATEST, and the homes: those of the nodes, and of a whole base all.

        Raises:
            NothingThereError: there is no node.
        """
        if not self.inside:
            found = self._with_latest(survey(self.patient, self._everywhere, tell))
            if self._around(found.nodes) == [self.key]:
                found.homes = survey(self.patient, [self.key], tell).homes
            return found
        found = self.nodes(tell)
        seen = in_parallel(self.seen, found.nodes)
        found.homes = self.homes(dict(zip(found.nodes, seen, strict=True)), tell)
        return found

    def homes(self, nodes: Mapping[str, Seen], tell: Tell) -> dict[str, FoundHome]:
        """At least the homes of these nodes, by the folder that they are in.

        Args:
            nodes: LATEST by the node prefix.
        """
        folders = [folder for prefix, seen in nodes.items() for folder in folders_of(prefix, seen.fence)]
        everything = self._around(nodes)
        fewer = folders if len(folders) < len(everything) else everything
        return survey(self.patient, fewer, tell).homes

    def _around(self, prefixes: Iterable[str]) -> list[str]:
        """Folders that all homes of these nodes are in: of the root of actions of Flyte 2, which has no
        shards, it is the root."""
        nodes = map(NodePrefix.parse, prefixes)
        is_root = any(node and node.first_attempt and node.root == self.key for node in nodes)
        return [self.key] if is_root else self._everywhere

    @property
    def _everywhere(self) -> list[str]:
        return everywhere(self.key, flyte_2=self.is_flyte_2)

    @property
    def _folders(self) -> list[str]:
        """Those with the node prefixes."""
        if self.is_flyte_2:
            return [f"{folder}/{NODES}" for folder in self._everywhere]
        return [self.inside or f"{self.key}/{NODES}"]

    def _with_latest(self, found: Survey) -> Survey:
        found.nodes = {prefix: node for prefix, node in found.nodes.items() if node.latest}
        self.store.learn({node.latest.key: node.latest.size for node in found.nodes.values() if node.latest})
        if found.nodes:
            return found
        if any(in_parallel(lambda folder: nodes_below(self.patient, folder), self._folders)):  # it is a proof
            raise StoreUnavailableError("two listings of this folder differ", key=self.url)
        looked_at = f"{self.patient.url(self.inside or f'{self.key}/{NODES}')}/**/{LATEST}"
        raise NothingThereError(
            self.url,
            [looked_at],
            f"ROOT is the path before /{NODES}/: the raw-output base of the executions. Runs outside"
            " Flyte are not listed: give their URL to `ckptptr show`. For a run of Flyte 2 give its base, and"
            " --flyte-2",
        )
