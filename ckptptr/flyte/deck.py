"""The "Checkpoints" deck of a task with `enable_deck=True`: what it restored and saved, drawn.

flytekit asks each deck for its HTML when the task has ended, with success or not, and its outputs are
written; or when the task calls `Deck.publish()`. Only then the store is read: once, no longer than
`PATIENCE`, and no more than `MOST` manifests. Any error is one warning: a deck must not fail a task.
If decks are disabled, this module is not imported.
"""

from __future__ import annotations

import logging
from html import escape
from typing import Any

from flytekit.deck.deck import Deck

from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.lifetime import daemon

log = logging.getLogger("ckptptr")

NAME = "Checkpoints"
MOST = 200
PATIENCE = 20.0
"""In seconds."""


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
        try:
            drawn = daemon.start(lambda: _draw(self._checkpoint)).result(timeout=self._patience)
        except Exception as error:  # noqa: BLE001 - a deck must not fail a task
            what = str(error) or f"no answer within {self._patience:.0f} s"
            log.warning("the deck cannot show the checkpoints: %s", what)
            drawn = f"<p>The checkpoints cannot be shown: {escape(what)}</p>"
        return f"{drawn}{self._html}"

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker of a distributed task sends its decks to another process, as they are at that time."""
        return Deck, (NAME, self.html, False)


def _draw(checkpoint: PointerCheckpoint) -> str:
    from ckptptr.inspect.target import Here
    from ckptptr.report.facts import Live, gather
    from ckptptr.report.page import section

    checkpoints = checkpoint.checkpoints
    session = checkpoints._session
    here = Here(session.store, session.node, session.clock, session.latest, (), session.store)
    live = Live(checkpoints.resolution, session.restored_in, session.saves, dict(session.saved_in))
    return section(gather(here, live=live, most=MOST))
