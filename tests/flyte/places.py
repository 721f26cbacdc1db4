"""Where the story is run: a node of the example task, on a disk and on each cloud's server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.testing.attempts import Fault, SimulatedNode

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_THE_MIDDLE_OF_SAVE_4 = Fault("kill", op="upload", nth=4, when="after")
BEFORE_ITS_FIRST_SAVE = Fault("kill", op="upload", nth=1, when="before")
COUNTED_ON = {"o0": "counted from 3 to 8"}


@dataclass(frozen=True)
class Place:
    """A node to run attempts of, and a person's view of the bucket."""

    node: SimulatedNode
    store: Store
    root: str
    secrets: tuple[str, ...] = ()  # that the pod got, and nobody may see

    @property
    def latest(self) -> str:
        return f"{self.root}/_ckptptr/flytesnacks/development/{self.node.execution}/n0/LATEST"

    def pointer(self) -> dict[str, Any]:
        return json.loads(self.store.read(self.latest)[0])

    def put_latest(self, text: str) -> None:
        """As `aws s3 cp` would: no condition, no question."""
        self.store.upload(self.latest, [text.encode()])

    def keys(self, folder: str) -> list[str]:
        return [entry.key for entry in self.store.list(folder)]

    def home(self, attempt: int) -> str:
        return self.node.home(attempt).partition("://")[2] or self.node.home(attempt)


def place_at(
    url: str, options: Mapping[str, Any], environ: Mapping[str, str], secrets: tuple[str, ...] = ()
) -> Place:
    store, root = open_store(url, storage_options=options)
    node = SimulatedNode(
        "counter_task",
        "count_to",
        root=url,
        folder=str(EXAMPLES),
        inputs={"n": 8},
        environ=environ,
        storage_options=options,
    )
    return Place(node, store, root, secrets)


CLOUDS = ("s3", "gcs", "azure")
