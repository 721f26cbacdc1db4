"""LATEST: whether it exists, is undamaged, is held, and names checkpoints that can be restored."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

from ckptptr.cli.checks.finding import Check, Examined, note, ok, problem
from ckptptr.errors import AccessDeniedError, CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.log import beside_hold, newer_than_held, restorable
from ckptptr.inspect.sentences import headline, held_with, in_words, short, steps_in_words
from ckptptr.inspect.target import Here
from ckptptr.nodes.plain import highest_attempt
from ckptptr.protocol.references import shortened
from ckptptr.wording import counted
from ckptptr.wording import when as moment_in_words


def state(e: Examined) -> Iterator[shapes.Finding]:
    latest = e.shown.latest
    if _is_folder(e.here):
        return  # see `misplaced`
    if latest.state == "absent":
        yield note(
            "latest-absent",
            "LATEST is absent. The next attempt searches the homes of the attempts, newest first, and"
            " writes LATEST again; so does the next save.",
            latest.url,
        )
    elif latest.damage:
        yield problem(
            "latest-damaged",
            f"{latest.damage}. The next attempt searches the homes of the attempts instead, writes LATEST"
            " again, and keeps these bytes beside it. If this was an edit, it is not followed: choose with"
            " `ckptptr use`.",
            latest.url,
            todo="nothing",
        )
    else:
        yield ok("latest", f"LATEST exists, {_written(latest)}.", latest.url)


def misplaced(e: Examined) -> Iterator[shapes.Finding]:
    """`aws s3 cp file .../LATEST/` writes another object, which no attempt reads. On a disk such a folder is
    in the way of the file."""
    if _is_folder(e.here):
        url = e.here.latest.url
        yield problem(
            "latest-folder",
            "There is a folder LATEST, where the file LATEST has to be written: every save fails, and every"
            " restore that finds a checkpoint. Move the folder away, or remove it.",
            url,
            shlex.join(["mv", url, f"{url}.folder"]),
        )
        return
    below = next(iter(e.here.store.list(e.here.latest.key)), None)
    if below is not None:
        yield problem(
            "latest-folder",
            "There is a folder LATEST, and no attempt reads what is in it. It comes from an upload to a name"
            " that ends in a slash. Upload the file as LATEST itself, and delete this folder.",
            e.here.store.url(below.key),
        )


def _is_folder(here: Here) -> bool:
    """Whether a folder of a disk has the name of LATEST; a link to one is replaced like a file."""
    key = here.latest.key
    return here.node.root.scheme == "file" and os.path.isdir(key) and not os.path.islink(key)


def _written(latest: shapes.Latest) -> str:
    if latest.state == "edited":
        return "edited by a person (its checksum is not that of its text)"
    return f"undamaged, written by {latest.written_by}" if latest.written_by else "undamaged"


def hold(e: Examined) -> Iterator[shapes.Finding]:
    """A problem where a run has committed newer work beside it: the next attempt resumes without that."""
    latest = e.shown.latest
    if not latest.held:
        return
    newer = newer_than_held(e.here, e.log)
    beside = beside_hold(latest, newer)
    newest = next((c for c in restorable(e.log) if c.id and e.is_complete(c)), None)
    is_bare = newest is None or (newest.state == "target" and not newer)
    command = e.here.command("release", *([] if is_bare or newest is None else [short(newest)]))
    said = _held_by(e.here, latest)
    if beside:
        those = counted(len(beside), "newer checkpoint was", "newer checkpoints were")
        yield problem(
            "latest-held",
            f"{said}. Meanwhile {those} committed beside it ({steps_in_words(beside)})."
            f" {headline(e.shown.checkpoint)} Soon after that the newer ones are deleted. To keep them,"
            f" release LATEST on {in_words(newest)}. If the hold is still wanted, there is nothing to do.",
            latest.url,
            command,
            todo="decide",
        )
        return
    those = counted(len(newer), "newer checkpoint", "newer checkpoints")
    unnamed = f" It does not name {those} ({steps_in_words(newer)})." if newer else ""
    yield note(
        "latest-held",
        f"{said}: saves do not move it until the next restore, which removes the hold.{unnamed} To undo the"
        f" hold, release it{'' if is_bare else f' on {in_words(newest)}'}.",
        latest.url,
        command if newest else None,
    )


def _held_by(here: Here, latest: shapes.Latest) -> str:
    """`mina@laptop/1/x holds LATEST with `ckptptr use` since 3 hours ago, ..., with the note "..."`."""
    note = f', with the note "{latest.note}"' if latest.note else ""
    when = f" ({moment_in_words(latest.moved_at, here.clock.now())})" if latest.moved_at else ""
    if latest.held_by == "edit":
        return f"A person edited LATEST{when}{note}"
    how = f", with `ckptptr {held_with(latest.moved_with)}`" if latest.moved_with else ""
    return f"{latest.moved_by or latest.written_by} holds LATEST{note}{how}{when}"


def target(e: Examined) -> Iterator[shapes.Finding]:
    latest = e.shown.latest
    named = [candidate for candidate in e.shown.candidates if candidate.source == "latest"]
    is_lost_edit = latest.state == "edited" and not any(c.outcome == "taken" for c in named)
    for candidate in named:
        if candidate.outcome in ("rejected", "absent"):
            if candidate.reference == latest.url:
                continue  # LATEST itself, see `state`
            if any(
                entry.checkpoint == candidate.reference and not entry.problem for entry in e.log.checkpoints
            ):
                continue  # its payload, see `payload`
            if is_lost_edit:
                yield problem(
                    "target",
                    f"A person edited LATEST to {shortened(latest.checkpoint or '')!r}, which cannot be"
                    f" restored: {candidate.reason}. The edit is not followed: choose with `ckptptr use`.",
                    latest.url,
                    e.here.command("log"),
                    todo="decide",
                )
                return
            yield problem(
                "target",
                f"What LATEST names cannot be restored: {candidate.reason}. The next attempt skips it.",
                candidate.reference,
                todo="nothing",
            )


def history(e: Examined) -> Iterator[shapes.Finding]:
    for entry in e.log.checkpoints:
        if entry.state == "history" and entry.problem:
            is_deleted = entry.problem_code == "not-found"
            yield (note if is_deleted else problem)(
                "history",
                "The history of LATEST names a checkpoint that"
                f" {'is deleted' if is_deleted else 'cannot be restored'} ({entry.problem})."
                " A restore skips it.",
                entry.checkpoint,
                todo="nothing",
            )


def payload(e: Examined) -> Iterator[shapes.Finding]:
    """Damage that a restore would find only while it fetches."""
    here = e.here
    for entry in e.log.checkpoints:
        if entry.problem or entry.id is None or entry.state not in ("target", "history"):
            continue
        try:
            found = here.chooser.find(entry.checkpoint, e.seen)
        except StoreUnavailableError:
            raise
        except CkptptrError:
            continue  # deleted or damaged since it was listed
        bad = e.listed.flaws(found)
        if bad:
            yield problem(
                "payload",
                f"{in_words(entry)} is damaged: {counted(len(bad), 'file is', 'files are')} missing or of"
                f" another size, {bad[0].path!r}: {bad[0].problem}. A restore skips it.",
                here.store.url(bad[0].key),
                here.command("verify", "--all"),
                todo="nothing",
            )
        elif refused := _archived(here, e.listed.archived(found)):
            yield problem(
                "archived",
                f"{in_words(entry)} cannot be restored: {refused.message}. {refused.hint}",
                refused.key,
                todo="act",
            )


def _archived(here: Here, keys: Sequence[str]) -> AccessDeniedError | None:
    """What a read of the first of these answers: objects that were brought back keep their class."""
    try:
        for key in keys[:1]:
            for _ in here.adapter.download(key, 0, 1):
                pass
    except AccessDeniedError as error:
        return error
    except CkptptrError:
        pass  # deleted since it was listed, or empty: nothing is kept from being read
    return None


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
            f" {pointer.fence}. It was killed just before it moved LATEST, or is about to move it.",
            newest.url,
            e.here.command("use", newest.id or newest.checkpoint),
            todo="decide",
        )
    elif not saved:
        yield note(
            "fence",
            f"Attempt {highest} has files in its home, but no checkpoint; LATEST belongs to attempt"
            f" {pointer.fence}. It runs and has not saved yet, or it died before its first save.",
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
            f"{counted(len(saved), 'checkpoint is', 'checkpoints are')} complete but not in LATEST: saves"
            " that were never confirmed. Choose one with `use` before it is deleted.",
            saved[0].url,
            e.here.command("log"),
        )


CHECKS: tuple[Check, ...] = (state, misplaced, hold, target, history, payload, fence, unnamed)
