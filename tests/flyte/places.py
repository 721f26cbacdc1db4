"""Where the story is run: a node of the example task, on a disk and on each cloud's server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptptr.stores.open import open_store
from ckptptr.testing.attempts import Fault, SimulatedNode
from tests.places import Bucket

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_THE_MIDDLE_OF_SAVE_4 = Fault("kill", op="upload", nth=4, when="after")
BEFORE_ITS_FIRST_SAVE = Fault("kill", op="upload", nth=1, when="before")
COUNTED_ON = {"o0": "counted from 3 to 8"}


@dataclass(frozen=True)
class Place(Bucket):
    """A node to run attempts of. `root` is the key of its raw-output base."""

    simulated: SimulatedNode

    @property
    def node(self) -> SimulatedNode:
        return self.simulated

    @property
    def root(self) -> str:
        return self.key(self.node.root)

    def death_in_save_4(self) -> None:
        first = self.node.run(0, IN_THE_MIDDLE_OF_SAVE_4)
        assert (first.signal, first.outputs) == (9, None), first.log

    def two_more_deaths(self) -> None:
        """Of attempts 1 and 2, which leave no checkpoint."""
        second = self.node.run(1, BEFORE_ITS_FIRST_SAVE)
        assert (second.signal, second.outputs) == (9, None), second.log
        third = self.node.die_before_python(2)
        assert (third.signal, third.requests) == (9, [])


def place_at(
    url: str, options: Mapping[str, Any], environ: Mapping[str, str], secrets: tuple[str, ...] = ()
) -> Place:
    store, _ = open_store(url, storage_options=options)
    node = SimulatedNode(
        "counter_task",
        "count_to",
        root=url,
        folder=str(EXAMPLES),
        inputs={"n": 8},
        environ=environ,
        storage_options=options,
    )
    return Place(node, store, secrets)


CLOUDS = ("s3", "gcs", "azure")
