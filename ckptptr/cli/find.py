"""`ckptptr find`: the executions and nodes below a root."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

import click

from ckptptr.cli.command import answer, store_command
from ckptptr.cli.output import Cell, Column, Output
from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import UnsupportedFormatError
from ckptptr.inspect import shapes
from ckptptr.inspect.lookup import nodes_below
from ckptptr.inspect.target import NothingThereError, patient_store
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.names import LATEST, NODES
from ckptptr.protocol.references import FRESH
from ckptptr.stores.port import Store
from ckptptr.transfer.pool import run_all
from ckptptr.wording import ago, counted, number, size, utc


@store_command("find", "The executions and nodes of Flyte below a root.", shapes.Find)
@click.argument("root")
def command(*, root: str, storage_options: dict[str, Any], as_json: bool) -> None:
    """The executions and nodes of Flyte below ROOT that have a LATEST, the newest publish first.

    ROOT is the raw-output base, such as s3://bucket/data, or anything below its `_ckptptr`: a project, a
    domain, an execution. This takes one listing, and one read for each node.


    The exit code is 3 if there is none.
    """
    clock = SystemClock()
    store, key = patient_store(root, storage_options, clock)
    folder = key if f"/{NODES}/" in f"{key}/" else f"{key}/{NODES}"
    prefixes = nodes_below(store, folder.removesuffix(f"/{LATEST}"))
    if not prefixes:
        raise NothingThereError(
            store.url(key),
            [f"{store.url(folder)}/**/{LATEST}"],
            f"ROOT is the path before /{NODES}/: the raw-output base of the executions. `find` does"
            " not list runs outside Flyte: give their URL to `ckptptr show`",
        )
    nodes = run_all(lambda prefix: _look(store, prefix, clock), prefixes)
    nodes.sort(key=lambda node: node.url)
    nodes.sort(key=lambda node: node.published_at or "", reverse=True)  # stable
    told = shapes.Find(root=store.url(key), nodes=nodes)
    answer(told, lambda told: _print(told, clock.now()), as_json=as_json)


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


def _unread(common: dict[str, Any], state: Any, problem: str | None) -> shapes.NodeFound:
    nothing: dict[str, Any] = dict.fromkeys(("checkpoint", "step", "bytes", "published_at"))
    return shapes.NodeFound(**common, **nothing, state=state, held=False, note="", problem=problem)


_COLUMNS = (
    Column("published"),
    Column("UTC", tail=True),
    Column("step", right=True),
    Column("size", right=True),
    Column("LATEST"),
    Column("execution"),
    Column("node"),
    Column("project/domain", tail=True),
)


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
    said = "none" if node.checkpoint == FRESH else "" if node.state == "written" else node.state
    words = [word for word in (said, "held" if node.held else "") if word]
    style = "red" if node.problem else "yellow" if words else "green"
    return [
        ago(node.published_at, now),
        utc(node.published_at),
        number(node.step),
        size(node.bytes),
        Cell(", ".join(words) or "ok", style),
        node.execution,
        node.name,
        f"{node.project}/{node.domain}",
    ]
