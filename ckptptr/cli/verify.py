"""`ckptptr verify`: whether checkpoints are complete, and with `--deep` whether each byte is right."""

from __future__ import annotations

from dataclasses import dataclass

import click
import msgspec

from ckptptr.cli.choice import Choice, choosing, saying_what_can_be_chosen
from ckptptr.cli.command import answer, node_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import INDENT, TONES, Cell, Column, Output
from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_by_name, checkpoint_of
from ckptptr.inspect.execution import Execution
from ckptptr.inspect.log import everything
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.sentences import ONLY_SIZES, Tone, all_metadata_of, in_words, short, step_of
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.complete import Flaw
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.listed import Listed
from ckptptr.transfer.progress import Progress, at_once
from ckptptr.transfer.verify import digest_flaws
from ckptptr.wording import counted, number, size


def _verify_execution(execution: Execution, *, everything_here: bool, deep: bool) -> shapes.Verify:
    """What LATEST of each node names, or with --all every checkpoint."""

    def verify(prefix: str) -> shapes.Verify:
        if not everything_here:
            here, seen = execution.glance(prefix)
            if seen.pointer and not seen.pointer.edited and not seen.pointer.target.is_fresh:
                named = checkpoint_by_name(here, seen.pointer.target)
                return _verify(here, [_subject(here, named, seen)], deep=deep)
        here = execution.here(prefix)
        return _verify(here, _listed(here, only_first=not everything_here), deep=deep)

    # Whole checkpoints are fetched in parallel as they are: one after the other is quicker then.
    found = [*map(verify, execution.prefixes)] if deep else in_parallel(verify, execution.prefixes)
    checkpoints = [
        msgspec.structs.replace(verified, node=each.node) for each in found for verified in each.checkpoints
    ]
    checkpoints.sort(key=lambda verified: verified.state in _GOOD)  # stable: the worst first
    return shapes.Verify(
        node=execution.url,
        deep=deep,
        bytes_read=sum(each.bytes_read for each in found),
        checkpoints=checkpoints,
    )


@node_command(
    "verify", "Whether a checkpoint is complete; with --deep every byte.", shapes.Verify, executions=True
)
@click.argument("checkpoint", required=False)
@choosing
@click.option("--all", "everything_here", is_flag=True, help="Every checkpoint that can be chosen.")
@click.option("--deep", is_flag=True, help="Fetch every byte and compare every digest.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    here: Here | Execution,
    as_json: bool,
    choice: Choice,
    everything_here: bool,
    deep: bool,
) -> None:
    """Whether a checkpoint is complete: its manifest, and the size of each file, from one listing.

    CHECKPOINT as for `ckptptr use`; the default is the target of LATEST, else the newest. With --deep
    every file is fetched, compared with its digest, and not kept. A file with another digest is fetched
    once more before it counts as damaged.


    TARGET may be an execution: then the target of each LATEST is verified, and each map task is one line.


    The exit code is 4 if one of them is damaged or deleted, and 3 if there is none.
    """
    if choice.is_made and everything_here:
        raise click.UsageError("Give either a checkpoint or --all.")
    if isinstance(here, Execution):
        if choice.is_made:
            raise click.UsageError("An execution has no checkpoints of its own: give one of its nodes.")
        execution, told = here, _verify_execution(here, everything_here=everything_here, deep=deep)
        answer(told, lambda told: _print_execution(told, execution), as_json=as_json)
        _exit(ctx, told)
        return
    subjects = [_chosen(here, choice)] if choice.is_made else _listed(here, only_first=not everything_here)
    told = _verify(here, subjects, deep=deep)
    answer(told, _print, as_json=as_json)
    _exit(ctx, told)


_GOOD = ("good", "unverified")


def _exit(ctx: click.Context, told: shapes.Verify) -> None:
    states = {verified.state for verified in told.checkpoints}
    if not states:
        ctx.exit(ExitCode.NOTHING_FOUND)
    if states & {"damaged", "gone"}:
        ctx.exit(ExitCode.DAMAGED)
    if "newer-format" in states:
        ctx.exit(ExitCode.UNSUPPORTED_FORMAT)


@dataclass(frozen=True, slots=True)
class _Subject:
    """A checkpoint to verify, or why it cannot be verified."""

    shape: shapes.Checkpoint
    found: Found | None
    problem: shapes.Flaw | None = None
    state: shapes.Soundness = "damaged"


def _chosen(here: Here, choice: Choice) -> _Subject:
    with saying_what_can_be_chosen(here):
        found = here.chooser.find(choice.on(here))
    return _Subject(checkpoint_of(here, found), found)


def _listed(here: Here, *, only_first: bool) -> list[_Subject]:
    entries = [entry for entry in everything(here).checkpoints if entry.state != "doomed"]
    if only_first:
        entries.sort(key=lambda entry: entry.state != "target")  # stable: else the newest
        entries = entries[:1]
    return [_subject(here, entry) for entry in entries]


_STATES: dict[str, shapes.Soundness] = {"not-found": "gone", "unsupported-format": "newer-format"}


def _subject(here: Here, entry: shapes.Checkpoint, seen: Seen | None = None) -> _Subject:
    try:
        found = here.chooser.find(entry.checkpoint, seen)
    except StoreUnavailableError:
        raise
    except CkptptrError as error:
        flaw = shapes.Flaw(path=None, object=error.key or entry.checkpoint, problem=error.message)
        shape = msgspec.convert(msgspec.to_builtins(entry), shapes.Checkpoint)
        return _Subject(shape, None, flaw, _STATES.get(error.code, "damaged"))
    return _Subject(checkpoint_of(here, found, pinned=entry.pinned), found)


def _verify(here: Here, subjects: list[_Subject], *, deep: bool) -> shapes.Verify:
    listed = Listed(here.store)
    total = sum(subject.shape.bytes or 0 for subject in subjects) if deep else 0
    checkpoints = []
    with at_once("verifying")(total) as progress:
        for subject in subjects:
            state, problems = subject.state, [subject.problem] if subject.problem else []
            if subject.found:
                bad = _flaws(here, subject.found, listed, progress if deep else None)
                problems = [_flaw(here, flaw) for flaw in bad]
                state = "damaged" if bad else "good" if subject.found.manifest else "unverified"
            checkpoints.append(shapes.Verified(checkpoint=subject.shape, state=state, problems=problems))
    return shapes.Verify(node=here.url, deep=deep, bytes_read=progress.done, checkpoints=checkpoints)


def _flaws(here: Here, found: Found, listed: Listed, progress: Progress | None) -> list[Flaw]:
    """What is wrong by sizes; with `progress`, by digests too."""
    bad = listed.flaws(found)
    if progress is None:
        return bad
    known = {flaw.path for flaw in bad}
    rest = [record for record in found.files if record.path not in known]
    return bad + digest_flaws(here.store, found.home, rest, progress.add)


def _flaw(here: Here, flaw: Flaw) -> shapes.Flaw:
    return shapes.Flaw(path=flaw.path, object=here.store.url(flaw.key), problem=flaw.problem)


_COLUMNS = (
    Column("state"),
    Column("step", right=True),
    Column("size", right=True),
    Column("files", right=True, may_go=True),
    Column("checkpoint", tail=True),
    Column("metadata", tail=True),
)
_STATES_IN_WORDS: dict[shapes.Soundness, tuple[str, Tone]] = {
    "good": ("good", "good"),
    "unverified": ("unverified", "warning"),
    "damaged": ("damaged", "bad"),
    "gone": ("deleted", "bad"),
    "newer-format": ("newer format", "bad"),
}


def _print(told: shapes.Verify) -> None:
    out = Output()
    bad = [v for v in told.checkpoints if v.state not in _GOOD]
    how = "each file has its digest" if told.deep else "each file has its size"
    if not told.checkpoints:
        out.headline(f"No checkpoint of {told.node}.")
        return
    if bad:
        out.headline(f"{counted(len(bad), 'checkpoint is', 'checkpoints are')} not good.", "bold red")
    else:
        count = len(told.checkpoints)
        name = in_words(told.checkpoints[0].checkpoint).capitalize() if count == 1 else f"All {count}"
        out.headline(f"{name} {'is' if count == 1 else 'are'} good: {how}.")
    out.blank()
    out.table(_COLUMNS, [_row(verified) for verified in told.checkpoints])
    _print_problems(out, told)
    if any(v.state == "unverified" for v in told.checkpoints):
        out.sentence("unverified: a plain folder has no digests to compare with.", "dim")
    if not told.deep:
        out.blank()
        out.sentence(ONLY_SIZES, "dim")


def _print_problems(out: Output, told: shapes.Verify) -> None:
    for verified in told.checkpoints:
        for problem in verified.problems:
            what = f"{problem.path or short(verified.checkpoint)}: {problem.problem}"
            out.marked(Cell(""), what, indent=INDENT, style="red")
            out.line(INDENT * 2, Cell(problem.object, "dim"))


_NODE_COLUMNS = (
    Column("state"),
    Column("node"),
    Column("checkpoints", right=True),
    Column("good", right=True),
    Column("not good", right=True),
)


def _print_execution(told: shapes.Verify, execution: Execution) -> None:
    """One line for each node or map task, the worst first."""
    out = Output()
    bad = sum(verified.state not in _GOOD for verified in told.checkpoints)
    total = counted(len(told.checkpoints), "checkpoint")
    those = f"{counted(bad, 'is', 'are').replace(' ', ' of them ', 1)} not good" if bad else "all are good"
    out.headline(f"{total} of {told.node}: {those}.", "bold red" if bad else "bold")
    out.blank()
    rows = []
    for row in execution.rows:
        urls = {execution.store.url(prefix) for prefix in row.prefixes}
        states = [verified.state for verified in told.checkpoints if verified.node in urls]
        wrong = [state for state in states if state not in _GOOD]
        word, tone = _STATES_IN_WORDS[wrong[0] if wrong else states[0]] if states else ("none", "warning")
        counts = (len(states), len(states) - len(wrong), len(wrong))
        rows.append((len(wrong), [Cell(word, TONES[tone]), row.name, *map(str, counts)]))
    out.table(_NODE_COLUMNS, [cells for _, cells in sorted(rows, key=lambda pair: -pair[0])])
    _print_problems(out, told)


def _row(verified: shapes.Verified) -> list[str]:
    checkpoint = verified.checkpoint
    word, tone = _STATES_IN_WORDS[verified.state]
    return [
        Cell(word, TONES[tone]),
        step_of(checkpoint),
        size(checkpoint.bytes),
        number(checkpoint.files),
        short(checkpoint),
        all_metadata_of(checkpoint) if checkpoint.metadata else "",
    ]
