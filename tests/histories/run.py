"""Live one history, or as many as there is time for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.histories.history import History
from tests.histories.places import STORES
from tests.histories.served import Served


def lived(
    seed: int, scratch: Path, stores: tuple[str, ...] = STORES, served: Served | None = None
) -> History:
    """The history of that seed, after it was lived.

    Raises:
        AssertionError: it broke a rule; names the seed.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        history = History(seed, Path(folder), stores, served)
        try:
            history.run()
        except Exception as broken:
            raise AssertionError(f"seed {seed} ({history.setting}): {broken!r}") from broken
        finally:
            history.end()
        return history
