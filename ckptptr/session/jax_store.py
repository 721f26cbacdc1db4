"""The store that jax keeps for its processes, in the words of torch's.

`jax.distributed.initialize` connects all processes to one service, which also keeps keys and values. It lives
as long as process 0, so for one start of all processes. In Flyte 2 that is a clustered task with `JaxRun`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any


def store_of_jax(patience: timedelta) -> Callable[[], JaxStore] | None:
    """The store of this process; None if it is no process of `jax.distributed`.

    Args:
        patience: how long `get` waits for a value.
    """
    internal = sys.modules.get("jax._src.distributed")  # the public module has no word for it
    client = getattr(getattr(internal, "global_state", None), "client", None)
    return None if client is None else lambda: JaxStore(client, patience)


@dataclass(frozen=True, slots=True)
class JaxStore:
    """What `Cohort` uses of torch's `Store`."""

    _client: Any
    _patience: timedelta

    def compare_set(self, key: str, expected: str, desired: str) -> bytes:
        """Set a value that is not set yet; the value then. Only an empty `expected` is possible."""
        if expected:
            raise NotImplementedError(key)
        return desired.encode() if self._is_set(key, desired) else self.get(key)

    def set(self, key: str, value: str) -> None:
        self._client.key_value_set(key, value)

    def get(self, key: str) -> bytes:
        """Wait for a value.

        Raises:
            RuntimeError: it did not come in time.
        """
        value: str = self._client.blocking_key_value_get(key, int(self._patience.total_seconds() * 1000))
        return value.encode()

    def check(self, keys: Sequence[str]) -> bool:
        """Whether all of them are set."""
        try:
            for key in keys:
                self._client.key_value_try_get(key)
        except RuntimeError as error:
            if "NOT_FOUND" not in str(error):
                raise
            return False
        return True

    def add(self, key: str, amount: int) -> int:
        """Count to the next number: one key for each, since older versions of jax have no counters."""
        return next(number for number in count(amount, amount) if self._is_set(f"{key}/{number}", "counted"))

    def _is_set(self, key: str, value: str) -> bool:
        """Whether this call has set it: it was not set before."""
        try:
            self._client.key_value_set(key, value)
        except RuntimeError as error:
            if "ALREADY_EXISTS" not in str(error):
                raise
            return False
        return True
