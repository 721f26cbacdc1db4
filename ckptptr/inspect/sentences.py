"""What is said of a checkpoint, a candidate and LATEST: the same words in a terminal and on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from ckptptr.inspect import shapes
from ckptptr.protocol.names import split_manifest_key

Tone: TypeAlias = Literal["good", "warning", "bad", "quiet", ""]
"""How a word is meant. Each output has its own colour for it, and no tone says what the word does not."""

STATES: dict[shapes.State, tuple[str, Tone]] = {
    "target": ("LATEST", "good"),
    "history": ("history", ""),
    "unnamed": ("unnamed", "warning"),
    "doomed": ("expired", "quiet"),
}
OUTCOMES: dict[shapes.Outcome, Tone] = {
    "taken": "good",
    "rejected": "bad",
    "absent": "quiet",
    "next": "",
    "unknown": "warning",
}
SOURCES: dict[shapes.Source, str] = {
    "latest": "LATEST",
    "history": "history",
    "homes": "homes",
    "doomed": "expired",
}
ONLY_SIZES = "Only sizes were compared: no payload was fetched. `ckptptr verify --deep` compares every byte."
_PROBLEMS = {"damaged": "damaged", "not-found": "deleted", "unsupported-format": "newer format"}
_UNTIL_RESTORED = "saves do not move it; the next restore removes the hold"


def short(checkpoint: shapes.Checkpoint) -> str:
    """Its id; its reference where it has none."""
    return checkpoint.id or checkpoint.checkpoint


def short_reference(reference: str | None) -> str:
    """The id in a reference; the reference where it has none."""
    split = split_manifest_key(f"/{reference}") if reference else None
    return str(split[1]) if split else reference or "-"


def in_words(checkpoint: shapes.Checkpoint | None) -> str:
    """`step 3`; `save 7` if the save was given no step; `plain files`; `nothing` for a fresh start."""
    if checkpoint is None:
        return "nothing"
    if checkpoint.step is not None:
        return f"step {checkpoint.step}"
    return "plain files" if checkpoint.seq is None else f"save {checkpoint.seq}"


def step_of(checkpoint: shapes.Checkpoint | None) -> str:
    """For the column of steps: `3`, or `save 7` if the save was given no step."""
    if checkpoint is None or (checkpoint.step is None and checkpoint.seq is None):
        return "-"
    return in_words(checkpoint).removeprefix("step ")


def all_metadata_of(checkpoint: shapes.Checkpoint) -> str:
    """All of it, as JSON; a dash if the checkpoint has none."""
    return msgspec.json.encode(checkpoint.metadata).decode() if checkpoint.metadata else "-"


def metadata_of(checkpoint: shapes.Checkpoint, key: str) -> str:
    """One value of the metadata; a dash if the checkpoint has none."""
    value = (checkpoint.metadata or {}).get(key, "-")
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def headline(checkpoint: shapes.Checkpoint | None) -> str:
    """`The next attempt resumes from step 3.`"""
    if checkpoint is None:
        return "The next attempt starts fresh."
    return f"The next attempt resumes from {in_words(checkpoint)}."


def state_in_words(entry: shapes.Entry) -> list[tuple[str, Tone]]:
    """`LATEST`, `held`, `pinned`, `damaged`: what holds for a checkpoint, the state first."""
    words = [STATES[entry.state]]
    words += [("held", "warning")] if entry.held else []
    words += [("pinned", "")] if entry.pinned else []
    words += [(_PROBLEMS.get(entry.problem_code or "", "unusable"), "bad")] if entry.problem else []
    return words


def name_of(candidate: shapes.Candidate, latest: shapes.Latest) -> str:
    """The id of a candidate, or what stands for it where it has none."""
    if candidate.checkpoint:
        return short(candidate.checkpoint)
    return "LATEST itself" if candidate.reference == latest.url else candidate.reference


def held_in_words(latest: shapes.Latest) -> str:
    """Whether LATEST is held, by what, and what that means."""
    if not latest.held:
        return "no, the next save moves it"
    return f"yes, {_held_how(latest, 'LATEST')}; {_UNTIL_RESTORED}"


def hold_sentence(latest: shapes.Latest) -> str:
    """Of a LATEST that is held."""
    return f"LATEST is held, {_held_how(latest, 'it')}: {_UNTIL_RESTORED}."


def _held_how(latest: shapes.Latest, it: str) -> str:
    return (
        f"a person edited {it}"
        if latest.held_by == "edit"
        else f"with `ckptptr {held_with(latest.moved_with)}`"
    )


def held_with(moved_with: str | None) -> str:
    """The command that holds a LATEST; `put` holds by `use`."""
    return moved_with if moved_with in ("rollback", "clean") else "use"


def steps_in_words(entries: Sequence[shapes.Checkpoint]) -> str:
    """`step 3`, `steps 3 to 11`, of checkpoints that are listed newest first."""
    newest, oldest = in_words(entries[0]), in_words(entries[-1])
    if newest == oldest:
        return newest
    if entries[0].step is None or entries[-1].step is None:
        return f"{oldest} to {newest}"
    return f"steps {entries[-1].step} to {entries[0].step}"
