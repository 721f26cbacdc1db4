"""LATEST: whether it is there, whole, held, and names what can be restored."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ckptptr.cli.checks.finding import Check, Examined, note, ok, problem
from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.sentences import in_words, short_reference
from ckptptr.nodes.plain import highest_attempt
from ckptptr.protocol.complete import flaws, sizes_in
from ckptptr.wording import counted


def state(e: Examined) -> Iterator[shapes.Finding]:
    latest = e.shown.latest
    if latest.state == "absent":
        yield note(
            "latest-absent",
            "LATEST is absent. The next attempt searches the homes of the attempts, newest first, and"
            " writes it anew; so does the next save.",
            latest.url,
            _use_what_is_next(e),
        )
    elif latest.damage:
        yield problem(
            "latest-damaged",
            f"{latest.damage}. The next attempt searches the homes of the attempts instead. Whoever"
            " overwrites LATEST keeps these bytes beside it.",
            latest.url,
            _use_what_is_next(e),
        )
    else:
        yield ok("latest", f"LATEST is there and {_written(latest)}.", latest.url)


def misplaced(e: Examined) -> Iterator[shapes.Finding]:
    """`aws s3 cp file .../LATEST/` writes another object, and nobody reads it."""
    below = next(iter(e.here.store.list(e.here.latest.key)), None)
    if below is not None:
        yield problem(
            "latest-folder",
            "There is a folder LATEST, and what is in it counts for nothing: an upload to a name that ends in"
            " a slash lands there. Upload it as LATEST itself, and delete this.",
            e.here.store.url(below.key),
        )


def _written(latest: shapes.Latest) -> str:
    if latest.state == "edited":
        return "was edited by a person (its checksum is not that of its text)"
    return f"whole, written by {latest.written_by}" if latest.written_by else "whole"


def _use_what_is_next(e: Examined) -> str | None:
    taken = e.shown.checkpoint
    return e.here.command("use", short_reference(taken.checkpoint)) if taken else None


def hold(e: Examined) -> Iterator[shapes.Finding]:
    latest = e.shown.latest
    if not latest.held:
        return
    who = "A person edited LATEST" if latest.held_by == "edit" else f"{latest.written_by} holds LATEST"
    said = f', saying "{latest.note}"' if latest.note else ""
    beside = [c for c in e.log.checkpoints if c.state == "unnamed" and c.attempt is not None]
    meanwhile = (
        f" Beside it {counted(len(beside), 'checkpoint is', 'checkpoints are')} committed." if beside else ""
    )
    yield note(
        "latest-held",
        f"{who}{said}: no save moves it until an attempt that restores takes it up.{meanwhile}",
        latest.url,
        e.here.command("release"),
    )


def target(e: Examined) -> Iterator[shapes.Finding]:
    for candidate in e.shown.candidates:
        if candidate.source == "latest" and candidate.outcome in ("rejected", "absent"):
            if candidate.reference == e.shown.latest.url:
                continue  # LATEST itself, see `state`
            yield problem(
                "target",
                f"What LATEST names cannot be restored: {candidate.reason}. The next attempt passes over it.",
                candidate.reference,
                _use_what_is_next(e),
            )


def history(e: Examined) -> Iterator[shapes.Finding]:
    for entry in e.log.checkpoints:
        if entry.state == "history" and entry.problem:
            is_gone = entry.problem_code == "not-found"
            yield (note if is_gone else problem)(
                "history",
                f"The history of LATEST names what {'is gone' if is_gone else 'cannot be restored'}"
                f" ({entry.problem}). A restore passes over it.",
                entry.checkpoint,
            )


def payload(e: Examined) -> Iterator[shapes.Finding]:
    """What a restore would find only while it fetches."""
    here = e.here
    sizes_of = functools.cache(lambda home: sizes_in(here.store, home))
    for entry in e.log.checkpoints:
        if entry.problem or entry.id is None or entry.state not in ("target", "history"):
            continue
        try:
            found = here.chooser.find(entry.checkpoint, e.seen)
        except StoreUnavailableError:
            raise
        except CkptptrError:
            continue  # gone or damaged since it was listed
        bad = flaws(found.home, found.files, sizes_of(found.home))
        if bad:
            yield problem(
                "payload",
                f"{in_words(entry)} is not all there: {counted(len(bad), 'file is', 'files are')} gone or of"
                f" another size, {bad[0].path!r}: {bad[0].problem}. A restore passes over it.",
                here.store.url(bad[0].key),
                here.command("verify", "--all"),
            )


def fence(e: Examined) -> Iterator[shapes.Finding]:
    pointer = e.seen.pointer
    if pointer is None or pointer.edited:
        return
    highest = highest_attempt(e.here.store, e.here.node.homes_of, pointer.fence)
    if highest == pointer.fence:
        return
    saved = [c for c in e.log.checkpoints if c.state == "unnamed" and (c.attempt or 0) > pointer.fence]
    if saved and not pointer.held:
        newest = saved[0]
        yield note(
            "fence",
            f"Attempt {newest.attempt} has committed {in_words(newest)}, but LATEST still belongs to attempt"
            f" {pointer.fence}: it was killed just before it moved LATEST, or is about to move it.",
            newest.url,
            e.here.command("use", newest.id or newest.checkpoint),
        )
    elif not saved:
        yield note(
            "fence",
            f"Attempt {highest} has left something in its home, and no checkpoint; LATEST belongs to attempt"
            f" {pointer.fence}. It runs and has not saved yet, or died before it did.",
            e.here.store.url(e.here.node.homes_of(highest)[0]),
        )


def unnamed(e: Examined) -> Iterator[shapes.Finding]:
    pointer = e.seen.pointer
    if pointer is None or pointer.held:
        return
    saved = [
        c for c in e.log.checkpoints if c.state == "unnamed" and c.id and (c.attempt or 0) <= pointer.fence
    ]
    if saved:
        yield note(
            "unnamed",
            f"{counted(len(saved), 'checkpoint is', 'checkpoints are')} committed and not named by LATEST:"
            " saves that were never confirmed. `use` can choose one until a sweep takes it.",
            saved[0].url,
            e.here.command("log"),
        )


CHECKS: tuple[Check, ...] = (state, misplaced, hold, target, history, payload, fence, unnamed)
