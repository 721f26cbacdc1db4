"""`ckptptr simulate`: run a task through attempts that die, on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import string
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from ckptptr.cli.command import JSON_OPTION, STORAGE_OPTION, ToldCommand
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.cli.output import Cell, Output, echo
from ckptptr.cli.pairs import json_or_text, pairs_option
from ckptptr.cli.verbosity import verbose_option
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.inspect import shapes
from ckptptr.inspect.simulate_shapes import Simulate, SimulatedAttempt, SimulatedRestore, SimulatedSave

if TYPE_CHECKING:
    from ckptptr.testing.deaths import Death
    from ckptptr.testing.life import Life
    from ckptptr.testing.outcome import Attempt
    from ckptptr.testing.simulated import Simulated

_LOOK = """
import importlib, json, sys
try:
    task = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    if any(base.__module__.startswith("flyte.") for base in type(task).__mro__):
        print(json.dumps({"is_flyte_2": True, "retries": getattr(task.retries, "count", task.retries)}))
    else:
        print(json.dumps({"retries": task.metadata.retries}))
except BaseException as error:
    sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
"""


def _deaths(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[Death | None]:
    if not texts:
        return []
    from ckptptr.testing.deaths import FORMS, parse

    try:
        return [parse(text) for text in texts]
    except InvalidArgumentError as error:
        raise click.BadParameter(f"{error.message}.\n\nThese are:\n\n{FORMS}") from None


class SimulateCommand(ToldCommand):
    """Its help has the ways to die too."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from ckptptr.testing.deaths import FORMS

        with formatter.section("Ways to die"):
            formatter.write("".join(f"  {line}\n" for line in FORMS.splitlines()))
        super().format_epilog(ctx, formatter)


@click.command(
    "simulate", cls=SimulateCommand, shape=Simulate, short_help="Run a task through attempts that die."
)
@click.argument("task", metavar="MODULE:TASK")
@pairs_option(
    "--input",
    "inputs",
    metavar="NAME=VALUE",
    read=lambda text: json_or_text(text, json.loads),  # which knows NaN, as a float may be
    help="Of the task, repeatable: n=8, xs=[1,2]. Put text that looks like JSON in quotes.",
)
@click.option(
    "--die",
    "deaths",
    metavar="HOW",
    multiple=True,
    callback=_deaths,
    help="How the first attempt, the second, ... dies, one option each: 'after save 3'. Later ones live.",
)
@click.option(
    "--folder",
    default=".",
    metavar="PATH",
    type=click.Path(exists=True, file_okay=False),
    help="The folder to import MODULE from; the working directory of the pods.",
)
@click.option("--root", metavar="URL", help="Raw-output base. Default: a temporary folder.")
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
@click.option(
    "--fast", is_flag=True, help="The pod unpacks the code, as after `pyflyte run` (Flyte 2: `flyte run`)."
)
@click.option(
    "--map-index",
    type=click.IntRange(min=0),
    metavar="I",
    help="Run that index of a map task over lists of inputs.",
)
@click.option("--retries", type=click.IntRange(min=0), metavar="N", help="Default: as the task says.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    metavar="SECONDS",
    show_default=True,
    help="Of one attempt. Then it is killed, and no other follows.",
)
@pairs_option(
    "--env",
    "environ",
    metavar="NAME=VALUE",
    help="A variable for the pods, repeatable.",
)
@JSON_OPTION
@STORAGE_OPTION
@verbose_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    task: str,
    inputs: dict[str, Any],
    deaths: list[Death | None],
    folder: str,
    root: str | None,
    keep: bool,
    fast: bool,
    map_index: int | None,
    retries: int | None,
    timeout: float,
    environ: dict[str, str],
    as_json: bool,
    storage_options: dict[str, Any],
) -> None:
    """Run a task as Flyte runs it, attempt after attempt, and kill attempts.

    Each attempt is a real pyflyte-execute, for a task of Flyte 2 a real a0, with the paths and arguments
    that Flyte would give it. Each death is a real signal. Attempts follow each other until the task finishes
    or fails for good.

    The exit code is 10 if the task did not finish.
    """
    from ckptptr.testing.actions import SimulatedAction
    from ckptptr.testing.attempts import SimulatedNode
    from ckptptr.testing.life import Life, attempts_of

    module, _, name = task.partition(":")
    folder = str(Path(folder).resolve())
    said = _look(module, name, folder)
    is_flyte_2 = said.get("is_flyte_2", False)
    if is_flyte_2 and map_index is not None:
        raise InvalidArgumentError("this is a task of Flyte 2: --map-index is for flytekit tasks")
    with _place(root, keep, storage_options) as (place, is_kept):
        execution = "a" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(19))
        common: dict[str, Any] = {
            "root": place,
            "folder": folder,
            "inputs": inputs,
            "environ": environ,
            "storage_options": storage_options,
        }
        node: Simulated = (
            SimulatedAction(module, name, run_name=execution, bundle="tgz" if fast else None, **common)
            if is_flyte_2
            else SimulatedNode(module, name, execution=execution, index=map_index, fast=fast, **common)
        )
        attempts: list[Attempt] = []
        for attempt in attempts_of(
            node, deaths, retries=said["retries"] if retries is None else retries, timeout=timeout
        ):
            attempts.append(attempt)
            if not as_json:
                _tell_progress(attempt)
        life = Life(tuple(attempts))
    if as_json:
        echo(shapes.encode(_shape(node, life, task, is_kept)))
    else:
        _print(node, life, is_kept)
    if not life.finished:
        ctx.exit(ExitCode.NOT_FINISHED)


def _look(module: str, name: str, folder: str) -> Mapping[str, Any]:
    """The SDK and the retries of the task, read in a process of its own: its module may import anything.

    Raises:
        InvalidArgumentError: there is no such task, or no SDK of Flyte.
    """
    if not (module and name):
        raise InvalidArgumentError("a task is MODULE:TASK", hint="my_project.training:train, say")
    path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _LOOK, module, name],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise InvalidArgumentError(
            f"{module}:{name} is no task that can be imported in {folder}: {why}",
            hint="Give the folder of MODULE with --folder. The SDK of Flyte must be installed",
        )
    said: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@contextlib.contextmanager
def _place(root: str | None, keep: bool, storage_options: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The raw-output base, and whether it exists afterwards.

    Raises:
        CkptptrError: it cannot be opened, or does not answer.
    """
    if root is not None:
        from ckptptr.protocol.names import NODES
        from ckptptr.stores.open import open_store

        store, key = open_store(root, storage_options=storage_options)
        with contextlib.suppress(NotFoundError):
            store.read(f"{key}/{NODES}")  # fail now if the store does not answer, not in each attempt
        yield (root.rstrip("/") if "://" in root else key), True
    elif keep:
        yield tempfile.mkdtemp(prefix="ckptptr-simulate-"), True
    else:
        with tempfile.TemporaryDirectory(prefix="ckptptr-simulate-") as folder:
            yield folder, False


def _tell_progress(attempt: Attempt) -> None:
    from ckptptr.testing.life import ended_in_words

    death = f" ({attempt.death})" if attempt.death else ""
    Output().line(f"attempt {attempt.number}{death}: {ended_in_words(attempt)}")


def _print(node: Simulated, life: Life, is_kept: bool) -> None:
    out = Output()
    out.blank()
    *table, sentence = life.timeline().splitlines()
    for line in table:
        out.line(line)
    out.blank()
    out.headline(sentence, "bold green" if life.finished and not life.started_over else "bold red")
    if life.outputs:
        out.facts([(name, str(value)) for name, value in life.outputs.items()])
    if is_kept:
        out.line(Cell(f"To see it: ckptptr log {shlex.quote(node.prefix)}", "dim"))


def _shape(node: Simulated, life: Life, task: str, is_kept: bool) -> Simulate:
    return Simulate(
        node=node.prefix,
        kept=is_kept,
        task=task,
        finished=life.finished,
        resumed=life.resumed,
        started_over=list(life.started_over),
        repeated_steps=list(life.repeated_steps),
        outputs=life.outputs,
        attempts=[
            SimulatedAttempt(
                attempt=attempt.number,
                death=str(attempt.death) if attempt.death else None,
                came=attempt.struck,
                ending=attempt.ending.name.lower(),
                signal=attempt.signal or None,
                exit_code=None if attempt.signal else attempt.exit_code,
                reason=attempt.reason,
                restored=msgspec.convert(attempt.restored, SimulatedRestore | None, from_attributes=True),
                saves=[SimulatedSave(step=s.step, checkpoint=s.checkpoint or None) for s in attempt.saves],
                seconds=round(attempt.seconds, 3),
            )
            for attempt in life.attempts
        ],
    )
