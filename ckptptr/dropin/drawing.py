"""What a task restored and saved, drawn for the page that its SDK shows: a deck, or a report.

Only then the store is read: once, no longer than `PATIENCE`, and no more than `MOST` manifests. Any error is
one warning: a page must not fail a task.
"""

from __future__ import annotations

import logging
from html import escape

from ckptptr.dropin.delegate import Delegate
from ckptptr.lifetime import daemon

log = logging.getLogger("ckptptr")

NAME = "Checkpoints"
MOST = 200
PATIENCE = 20.0
"""In seconds."""


def drawn(checkpoint: Delegate, page: str, patience: float = PATIENCE) -> str:
    """The HTML; a sentence where it cannot be drawn in time.

    Args:
        page: what it is for, in a word.
    """
    try:
        return daemon.start(lambda: _draw(checkpoint)).result(timeout=patience)
    except Exception as error:  # noqa: BLE001 - a page must not fail a task
        what = str(error) or f"no answer within {patience:.0f} s"
        log.warning("the %s cannot show the checkpoints: %s", page, what)
        return f"<p>The checkpoints cannot be shown: {escape(what)}</p>"


def _draw(checkpoint: Delegate) -> str:
    from ckptptr.inspect.target import Here
    from ckptptr.report.facts import Live, gather
    from ckptptr.report.page import section

    checkpoints = checkpoint.checkpoints
    session = checkpoints._session
    here = Here(session.store, session.node, session.clock, session.latest, (), session.store)
    live = Live(checkpoints.resolution, session.restored_in, session.saves, dict(session.saved_in))
    return section(gather(here, live=live, most=MOST))
