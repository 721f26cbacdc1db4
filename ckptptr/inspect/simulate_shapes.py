"""What `--json` prints of simulated attempts; append-only, as `inspect.shapes` says."""

from __future__ import annotations

import msgspec


class SimulatedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """What a restore returned. `checkpoint`: a reference, null after a fresh start; `attempt` wrote it."""

    verdict: str
    checkpoint: str | None
    step: int | None
    attempt: int | None
    seq: int | None


class SimulatedSave(msgspec.Struct, frozen=True, kw_only=True):
    """A save that the task began. `step`: as the task gave it, else counted. `checkpoint`: a reference, null
    if it was never confirmed.
    """

    step: int
    checkpoint: str | None


class SimulatedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt.

    `death`: the planned death, as for `--die`, null if none; `came`: whether it happened. `ending`:
    `finished`, `died`, `recoverable`, `failed` or `timed_out`. `signal`: the one that killed it, else
    null. `reason`: the first line of its error.
    """

    attempt: int
    death: str | None
    came: bool
    ending: str
    signal: int | None
    exit_code: int | None
    reason: str
    restored: SimulatedRestore | None
    saves: list[SimulatedSave]
    seconds: float


class Simulate(msgspec.Struct, frozen=True, kw_only=True):
    """`node`: the node prefix; `kept`: whether it still exists. `repeated_steps`: steps that several attempts
    saved. `started_over`: attempts that did not restore although they could. `death`: as for `--die`,
    and whether it `came`. `ending`: `finished`, `died`, `recoverable`, `failed` or `timed_out`.
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
    attempts: list[SimulatedAttempt]
