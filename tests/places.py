"""A person's view of the bucket that a simulated node or action runs its attempts in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ckptptr.stores.port import Store
from ckptptr.testing.simulated import Simulated


@dataclass(frozen=True)
class Bucket:
    """`simulated` is what runs there."""

    simulated: Simulated
    store: Store
    secrets: tuple[str, ...] = ()  # that the pod got, and nobody may see

    def key(self, url: str) -> str:
        return url.partition("://")[2] or url

    @property
    def latest(self) -> str:
        return f"{self.key(self.simulated.prefix)}/LATEST"

    def pointer(self) -> dict[str, Any]:
        return json.loads(self.store.read(self.latest)[0])

    def put_latest(self, text: str) -> None:
        """As `aws s3 cp` would: no condition, no question."""
        self.store.upload(self.latest, [text.encode()])

    def keys(self, folder: str) -> list[str]:
        return [entry.key for entry in self.store.list(folder)]

    def home(self, attempt: int) -> str:
        return self.key(self.simulated.home(attempt))
