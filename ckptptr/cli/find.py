"""`ckptptr find`: the executions and nodes below a root."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import click
import msgspec

from ckptptr.cli.ages import before, older_than
from ckptptr.cli.command import answer, flyte_2_option, store_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import Cell, Column, Output
from ckptptr.clock import written_at
from ckptptr.errors import UnsupportedFormatError
from ckptptr.inspect import root_shapes
from ckptptr.inspect.base import Base
from ckptptr.inspect.execution import rows_of
from ckptptr.inspect.explain import explain
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.sentences import headline
from ckptptr.inspect.survey import FoundNode
from ckptptr.inspect.target import NothingThereError
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.references import FRESH
from ckptptr.transfer.progress import Counting
from ckptptr.wording import ago, counted, first_few, size, utc


@store_command("find", "The executions and nodes of Flyte below a root.", root_shapes.Find)
@click.argument("root")
@click.option("--check", is_flag=True, help="Also ask what the next attempt of each node would restore.")
@flyte_2_option
@click.option("--project", metavar="NAME", help="Only nodes of this project.")
@older_than("Only nodes whose LATEST was not written for so long, such as 12h, 30d or 6w.")
@click.option("--held", is_flag=True, help="List only nodes whose LATEST is held.")
@click.option("--damaged", is_flag=True, help="List only nodes with a problem.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    root: str,
    check: bool,
    flyte_2: bool,
    project: str | None,
    older_than: timedelta | None,
    held: bool,
    damaged: bool,
    storage_options: dict[str, Any],
    as_json: bool,
) -> None:
    """The executions and nodes of Flyte below ROOT that have a LATEST, the newest publish first.

    ROOT is the raw-output base, such as s3://bucket/data, or anything below its `_ckptptr`: a project, a
    domain, an execution. This takes one listing, and one read for each node: `readable` says only that
    LATEST can be read. With --check the checkpoints are looked at too, as `ckptptr show` does.

    Flyte 2 puts a shard after the bucket. With --flyte-2, ROOT is what it calls the base of a run, such as
    s3://bucket/org/project/domain/run, or a path above it. This takes 1296 listings.

    First come the numbers of all nodes that --project and --older-than leave; --held and --damaged choose
    which of them are listed. The indices of a map task are one line.


    The exit code is 3 if there is no node, but 0 if --older-than, --held or --damaged leaves none of them. It
    is 9 if a LATEST cannot be read or a check found something wrong.
    """
    base = Base.at(root, storage_options, flyte_2=flyte_2)
    with Counting("listing", None) as listing:
        found = base.nodes(listing.add).nodes.values()
    meant = [node for node in found if project in (None, node.names[0])]
    if not meant:
        there = ", ".join(sorted({node.names[0] for node in found}))
        raise NothingThereError(base.url, [f"project {project}"], f"Projects with nodes here: {there}")
    if older_than is not None:
        end = before(base.clock.now(), older_than)
        meant = [node for node in meant if node.latest and 0 < node.latest.modified < end]
    nodes = in_parallel(lambda node: _look(base, node, check=check), meant)
    nodes.sort(key=lambda node: node.url)
    nodes.sort(key=lambda node: node.published_at or "", reverse=True)  # stable
    bad = [node for node in nodes if node.problem]
    are_held = [node for node in nodes if node.held and not node.problem]
    chosen = [*(bad if damaged else ()), *(are_held if held else ())] if held or damaged else nodes
    told = root_shapes.Find(
        root=base.url,
        nodes=chosen,
        summary=root_shapes.Summary(
            nodes=len(nodes),
            damaged=len(bad),
            held=len(are_held),
            readable=len(nodes) - len(bad) - len(are_held),
        ),
    )
    now = base.clock.now()
    answer(told, lambda told: _print(told, nodes, now, is_checked=check), as_json=as_json)
    if bad:
        ctx.exit(ExitCode.PROBLEMS)


def _look(base: Base, node: FoundNode, *, check: bool) -> root_shapes.NodeFound:
    names = dict(zip(("project", "domain", "execution", "name"), node.names, strict=True))
    modified = written_at(node.latest.modified) if node.latest else None
    common: dict[str, Any] = {"url": base.store.url(node.prefix), **names, "written_at": modified}
    try:
        seen = base.store.latest(node.prefix, base.clock)
    except UnsupportedFormatError as error:
        return _unread(common, "newer-format", f"{error.message}. {error.hint}")
    pointer = seen.pointer
    if pointer is None:
        told = _unread(common, "damaged" if seen.damage else "absent", seen.damage or None)
    else:
        target = pointer.target
        is_told = not (pointer.edited or target.is_fresh)
        told = root_shapes.NodeFound(
            **common,
            state="edited" if pointer.edited else "written",
            checkpoint=FRESH if target.is_fresh else target.checkpoint,
            step=target.step,
            bytes=target.bytes if is_told else None,
            published_at=target.published_at or None,
            held=pointer.held,
            note=pointer.note,
            problem=None,
        )
    return _checked(base, node.prefix, seen, told) if check else told


def _checked(base: Base, prefix: str, seen: Seen, node: root_shapes.NodeFound) -> root_shapes.NodeFound:
    """The same, with what the next attempt would restore."""
    if base.is_followed(prefix, seen):
        return msgspec.structs.replace(node, checked="good")
    try:
        shown = explain(base.here(prefix))
    except (UnsupportedFormatError, NothingThereError) as error:
        return msgspec.structs.replace(node, checked="nothing", problem=node.problem or error.message)
    wrong = next((c for c in shown.candidates if c.outcome in ("rejected", "absent")), None)
    if shown.latest.checkpoint == "none" or (shown.checkpoint and wrong is None):
        return msgspec.structs.replace(node, checked="good")
    reason = wrong.reason if wrong else "there is no checkpoint"
    problem = node.problem or f"{headline(shown.checkpoint)} {reason[:1].upper()}{reason[1:]}"
    return msgspec.structs.replace(
        node, checked="passed-over" if shown.checkpoint else "nothing", problem=problem
    )


def _unread(common: dict[str, Any], state: Any, problem: str | None) -> root_shapes.NodeFound:
    nothing: dict[str, Any] = dict.fromkeys(("checkpoint", "step", "bytes", "published_at"))
    return root_shapes.NodeFound(**common, **nothing, state=state, held=False, note="", problem=problem)


_COLUMNS = (
    Column("published"),
    Column("UTC", may_go=True),
    Column("step", right=True),
    Column("size", right=True, may_go=True),
    Column("LATEST"),
    Column("execution"),
    Column("node"),
    Column("nodes", right=True, may_go=True),
    Column("project/domain", tail=True),
)


_CHECKED = {"good": "good", "passed-over": "passed over", "nothing": "nothing good"}


def _print(
    told: root_shapes.Find, nodes: Sequence[root_shapes.NodeFound], now: datetime, *, is_checked: bool
) -> None:
    """`nodes`: all of them, also those that are not listed."""
    out = Output()
    executions = {(node.project, node.domain, node.execution) for node in nodes}
    counts = f"{counted(len(nodes), 'node')} of {counted(len(executions), 'execution')}"
    out.line(Cell(f"{counts} below {told.root}", "bold"))
    summary = told.summary
    words = [(summary.damaged, "damaged"), (summary.held, "held")]
    words += [(summary.readable, "good" if is_checked else "readable")]
    said = ", ".join(f"{count:,} {word}" for count, word in words if count)
    if said:
        out.line(Cell(said, "red" if summary.damaged else ""))
    if not told.nodes:
        return
    out.blank()
    by_url = {node.url: node for node in told.nodes}
    rows = [(row.name, [by_url[url] for url in row.prefixes]) for row in rows_of(by_url)]
    rows.sort(key=lambda row: max(node.published_at or "" for node in row[1]), reverse=True)  # stable
    out.table(_COLUMNS, [_row(name, nodes, now) for name, nodes in rows])
    problems = [f"{n.execution}/{n.name}: {n.problem}" for n in told.nodes if n.problem]
    for problem in first_few(problems):
        out.sentence(problem, "red")
    out.blank()
    out.line(Cell(f"To see one: ckptptr show {shlex.quote(told.nodes[0].url)}", "dim"))


def _row(name: str, nodes: Sequence[root_shapes.NodeFound], now: datetime) -> list[str]:
    """Of one node, or of all indices of a map task."""
    published = max(node.published_at or "" for node in nodes) or None
    steps = sorted(node.step for node in nodes if node.step is not None)
    sizes = [node.bytes for node in nodes if node.bytes is not None]
    states = Counter(map(_state, nodes))
    is_one = len(nodes) == 1
    words = [word if is_one else f"{count} {word}" for (_, word), count in sorted(states.items())]
    return [
        ago(published, now),
        utc(published),
        " to ".join(map(str, dict.fromkeys((steps[0], steps[-1])))) if steps else "-",
        size(sum(sizes) if sizes else None),
        Cell("; ".join(words), _STYLES[min(states)[0]]),
        nodes[0].execution,
        name,
        "" if is_one else str(len(nodes)),
        f"{nodes[0].project}/{nodes[0].domain}",
    ]


_STYLES = ("red", "yellow", "green")


def _state(node: root_shapes.NodeFound) -> tuple[int, str]:
    """Its place in `_STYLES`, the worst first, and what the table says."""
    read = _CHECKED[node.checked] if node.checked else "readable" if node.checkpoint else node.state
    if node.problem:
        return 0, read
    said = "none" if node.checkpoint == FRESH else "edited" if node.state == "edited" else ""
    words = [word for word in (said, "held" if node.held else "") if word]
    return (1, ", ".join(words)) if words else (2, read)
