"""What is said of a checkpoint and of LATEST, by the commands and by the report alike."""

from __future__ import annotations

from ckptptr.inspect import shapes
from ckptptr.protocol.names import split_manifest_key


def short(checkpoint: shapes.Checkpoint) -> str:
    """Its id, or its reference where it has none."""
    return checkpoint.id or checkpoint.checkpoint


def short_reference(reference: str | None) -> str:
    """The id in a reference, or the reference where it has none."""
    split = split_manifest_key(f"/{reference}") if reference else None
    return str(split[1]) if split else reference or "-"


def in_words(checkpoint: shapes.Checkpoint | None) -> str:
    """`step 3`, or what else tells a checkpoint from others; `nothing` for a fresh start."""
    if checkpoint is None:
        return "nothing"
    return short(checkpoint) if checkpoint.step is None else f"step {checkpoint.step}"


def headline(checkpoint: shapes.Checkpoint | None) -> str:
    """`The next attempt resumes from step 3.`"""
    if checkpoint is None:
        return "The next attempt starts fresh."
    return f"The next attempt resumes from {in_words(checkpoint)}."


def held_in_words(latest: shapes.Latest) -> str:
    """Whether LATEST is held, and by what; what that means."""
    if not latest.held:
        return "no, the next save moves it"
    how = "a person edited LATEST" if latest.held_by == "edit" else "with `ckptptr use`"
    return f"yes, {how}; no save moves it, the next restore takes it up"
