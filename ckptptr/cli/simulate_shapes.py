"""What `ckptptr simulate --json` prints. **Append-only**, as `ckptptr.inspect.shapes` says."""

from __future__ import annotations

import msgspec


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore returned: `checkpoint`, a reference, is null after a fresh start. `attempt` wrote it."""

    verdict: str
    checkpoint: str | None
    step: int | None
    attempt: int | None
    seq: int | None


class Save(msgspec.Struct, frozen=True, kw_only=True):
    """A save that the task asked for. `checkpoint`, a reference, is null where it was never confirmed.

    `step`: as the task gave it, else counted.
    """

    step: int
    checkpoint: str | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt.

    `death`: how it was to die, as `--die` takes it, and whether that `came`; null where it was left
    alone. `ending`: `finished`, `died`, `recoverable`, `failed` or `timed_out`. `signal`: that killed
    it; null where none did. `reason`: the first line of its error.
    """

    attempt: int
    death: str | None
    came: bool
    ending: str
    signal: int | None
    exit_code: int | None
    reason: str
    restored: Restored | None
    saves: list[Save]
    seconds: float


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """`ckptptr simulate`.

    `node`: the node prefix; `kept`: whether anything is still there. `repeated_steps`: that more than
    one attempt asked to save. `started_over`: attempts that did not restore although they could have.
    """

    command: str = "simulate"
    node: str
    kept: bool
    task: str
    finished: bool
    resumed: bool
    started_over: list[int]
    repeated_steps: list[int]
    outputs: dict[str, str | int | float | bool] | None
    attempts: list[Attempt]
