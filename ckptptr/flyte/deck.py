"""The "Checkpoints" deck of a task with `enable_deck=True`: what it restored and saved, drawn.

flytekit asks each deck for its HTML when the task has ended, well or not, and its outputs are
written; or when the task calls `Deck.publish()`. Only then the store is looked at: once, no longer than
`PATIENCE`, and no more than `MOST` manifests. Whatever goes wrong is one warning: no deck is worth
a task. Where decks are disabled nothing here is even imported.
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
    """Let the task's decks show its checkpoints, unless it has a deck of that name."""
    if all(deck.name != NAME for deck in decks):
        decks.append(CheckpointsDeck(checkpoint))


class CheckpointsDeck(Deck):  # type: ignore[misc]
    """Rendered anew whenever it is asked for; what a task appends to it comes below."""

    def __init__(self, checkpoint: PointerCheckpoint) -> None:
        super().__init__(NAME, auto_add_to_deck=False)
        self._checkpoint = checkpoint

    @property
    def html(self) -> str:
        try:
            drawn = daemon.start(lambda: _draw(self._checkpoint)).result(timeout=PATIENCE)
        except Exception as error:  # noqa: BLE001 - no deck is worth a task
            what = str(error) or f"no answer within {PATIENCE:.0f} s"
            log.warning("the deck cannot show the checkpoints: %s", what)
            drawn = f"<p>The checkpoints could not be looked at: {escape(what)}</p>"
        return f"{drawn}{self._html}"

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker of a distributed task hands its decks to another process: as they are by then."""
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
