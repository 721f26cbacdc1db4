"""`ckptptr find`: the executions and nodes below a root."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

import click
import msgspec

from ckptptr.cli.command import answer, store_command
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import Cell, Column, Output
from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import UnsupportedFormatError
from ckptptr.inspect import shapes
from ckptptr.inspect.execution import KnownSizes, in_parallel
from ckptptr.inspect.explain import explain
from ckptptr.inspect.lookup import nodes_below, nodes_in_shards
from ckptptr.inspect.sentences import headline
from ckptptr.inspect.target import NothingThereError, locate, patient_store
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.names import LATEST, NODES, latest_key
from ckptptr.protocol.references import FRESH
from ckptptr.stores.port import Store
from ckptptr.wording import ago, counted, number, size, utc


@store_command("find", "The executions and nodes of Flyte below a root.", shapes.Find)
@click.argument("root")
@click.option("--check", is_flag=True, help="Also ask what the next attempt of each node would restore.")
@click.option("--flyte-2", is_flag=True, help="ROOT is the base of a run of Flyte 2: look into all shards.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    root: str,
    check: bool,
    flyte_2: bool,
    storage_options: dict[str, Any],
    as_json: bool,
) -> None:
    """The executions and nodes of Flyte below ROOT that have a LATEST, the newest publish first.

    ROOT is the raw-output base, such as s3://bucket/data, or anything below its `_ckptptr`: a project, a
    domain, an execution. This takes one listing, and one read for each node: `readable` says only that
    LATEST can be read. With --check the checkpoints are looked at too, as `ckptptr show` does.

    Flyte 2 puts a shard after the bucket. With --flyte-2, ROOT is what it calls the base of a run, such as
    s3://bucket/org/project/domain/run. This takes 1296 listings.


    The exit code is 3 if there is none, and 9 if a LATEST cannot be read or a check found something wrong.
    """
    clock = SystemClock()
    store, key = patient_store(root, storage_options, clock)
    folder = key if f"/{NODES}/" in f"{key}/" else f"{key}/{NODES}"
    prefixes = (
        nodes_in_shards(store, key) if flyte_2 else nodes_below(store, folder.removesuffix(f"/{LATEST}"))
    )
    if not prefixes:
        raise NothingThereError(
            store.url(key),
            [f"{store.url(folder)}/**/{LATEST}"],
            f"ROOT is the path before /{NODES}/: the raw-output base of the executions. `find` does"
            " not list runs outside Flyte: give their URL to `ckptptr show`. For a run of Flyte 2 give its"
            " base, and --flyte-2",
        )
    fast = KnownSizes(store, {latest_key(prefix): size for prefix, size in prefixes.items()})
    nodes = in_parallel(lambda prefix: _look(fast, prefix, clock), prefixes)
    if check:
        nodes = in_parallel(lambda node: _checked(node, storage_options), nodes)
    nodes.sort(key=lambda node: node.url)
    nodes.sort(key=lambda node: node.published_at or "", reverse=True)  # stable
    told = shapes.Find(root=store.url(key), nodes=nodes)
    answer(told, lambda told: _print(told, clock.now()), as_json=as_json)
    if any(node.problem for node in nodes):
        ctx.exit(ExitCode.PROBLEMS)


def _look(store: Store, prefix: str, clock: Clock) -> shapes.NodeFound:
    names = dict(zip(("project", "domain", "execution", "name"), prefix.split("/")[-4:], strict=True))
    common: dict[str, Any] = {"url": store.url(prefix), **names}
    try:
        seen = Latest(store, prefix, clock, author="").read()
    except UnsupportedFormatError as error:
        return _unread(common, "newer-format", f"{error.message}. {error.hint}")
    pointer = seen.pointer
    if pointer is None:
        return _unread(common, "damaged" if seen.damage else "absent", seen.damage or None)
    target = pointer.target
    is_told = not (pointer.edited or target.is_fresh)
    return shapes.NodeFound(
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


def _checked(node: shapes.NodeFound, storage_options: dict[str, Any]) -> shapes.NodeFound:
    """The same, with what the next attempt would restore."""
    try:
        shown = explain(locate(node.url, storage_options=storage_options))
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


def _unread(common: dict[str, Any], state: Any, problem: str | None) -> shapes.NodeFound:
    nothing: dict[str, Any] = dict.fromkeys(("checkpoint", "step", "bytes", "published_at"))
    return shapes.NodeFound(**common, **nothing, state=state, held=False, note="", problem=problem)


_COLUMNS = (
    Column("published"),
    Column("UTC", may_go=True),
    Column("step", right=True),
    Column("size", right=True, may_go=True),
    Column("LATEST"),
    Column("execution"),
    Column("node"),
    Column("project/domain", tail=True),
)


_CHECKED = {"good": "good", "passed-over": "passed over", "nothing": "nothing good"}


def _print(told: shapes.Find, now: datetime) -> None:
    out = Output()
    executions = {(node.project, node.domain, node.execution) for node in told.nodes}
    counts = f"{counted(len(told.nodes), 'node')} of {counted(len(executions), 'execution')}"
    out.line(Cell(f"{counts} below {told.root}", "bold"))
    out.blank()
    out.table(_COLUMNS, [_row(node, now) for node in told.nodes])
    for node in told.nodes:
        if node.problem:
            out.sentence(f"{node.execution}/{node.name}: {node.problem}", "red")
    out.blank()
    out.line(Cell(f"To see one: ckptptr show {shlex.quote(told.nodes[0].url)}", "dim"))


def _row(node: shapes.NodeFound, now: datetime) -> list[str]:
    said = "none" if node.checkpoint == FRESH else "edited" if node.state == "edited" else ""
    words = [word for word in (said, "held" if node.held else "") if word]
    read = _CHECKED[node.checked] if node.checked else "readable" if node.checkpoint else node.state
    style = "red" if node.problem else "yellow" if words else "green"
    words = [read] if node.problem else words or [read]
    return [
        ago(node.published_at, now),
        utc(node.published_at),
        number(node.step),
        size(node.bytes),
        Cell(", ".join(words), style),
        node.execution,
        node.name,
        f"{node.project}/{node.domain}",
    ]
