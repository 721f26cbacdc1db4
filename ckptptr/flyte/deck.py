"""The "Checkpoints" deck of a task with `enable_deck=True`: what it restored and saved, drawn.

flytekit asks each deck for its HTML when the task has ended, with success or not, and its outputs are
written; or when the task calls `Deck.publish()`. If decks are disabled, this module is not imported.
"""

from __future__ import annotations

from typing import Any

from flytekit.deck.deck import Deck

from ckptptr.dropin.drawing import NAME, PATIENCE, drawn
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint


def add_deck(decks: list[Deck], checkpoint: PointerCheckpoint) -> None:
    """Add the deck, unless the task has one of that name."""
    if all(deck.name != NAME for deck in decks):
        decks.append(CheckpointsDeck(checkpoint))


class CheckpointsDeck(Deck):  # type: ignore[misc]
    """Drawn again for each request; what a task appends to it comes below.

    Args:
        patience: how long to wait for the store, in seconds.
    """

    def __init__(self, checkpoint: PointerCheckpoint, patience: float = PATIENCE) -> None:
        super().__init__(NAME, auto_add_to_deck=False)
        self._checkpoint = checkpoint
        self._patience = patience

    @property
    def html(self) -> str:
        shown = drawn(self._checkpoint, "deck", self._patience)
        return f"{shown}{self._html}"

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker of a distributed task sends its decks to another process, as they are at that time."""
        return Deck, (NAME, self.html, False)
