"""The story of ckptptr, told by running it: `make demo`.

Every attempt below is a real `pyflyte-execute` of the unchanged `counter_task.py`, with the paths
and arguments that Flyte would give it, and every death is a real SIGKILL. A folder stands for the
bucket.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ckptptr.testing.attempts import Attempt, Fault, SimulatedNode

EXAMPLES = Path(__file__).parent
IN_SAVE_4 = Fault("kill", op="upload", nth=4, when="after")
BEFORE_SAVING = Fault("kill", op="upload", nth=1)

SPOKEN = tuple(f"ckptptr: {word}" for word in ("a fresh", "resuming", "attempt", "copied"))

console = Console(highlight=False, soft_wrap=True)


def node(bucket: str, execution: str) -> SimulatedNode:
    return SimulatedNode(
        "counter_task",
        "count_to",
        root=f"{bucket}/data",
        folder=str(EXAMPLES),
        inputs={"n": 8},
        execution=execution,
    )


def tell(attempt: Attempt, how: str) -> None:
    """One attempt: how it ended, what ckptptr said, and with what result."""
    mark = "[green]lives[/]" if attempt.outputs else "[red]fails[/]" if attempt.error else "[red]dies [/]"
    console.print(f"  attempt {attempt.number} {mark}  {how}")
    for line in attempt.log.splitlines():
        if line.startswith(SPOKEN):
            say(f"[cyan]{escape(line.removeprefix('ckptptr: '))}[/]")
    if attempt.outputs:
        say(f"[bold green]{escape(str(attempt.outputs['o0']))}[/]")
    if attempt.error:
        say(f"[bold red]{attempt.kind}[/] {escape(attempt.error.strip().splitlines()[-1].strip())}")


def say(text: str) -> None:
    console.print(f"                   {text}")


def person(text: str) -> None:
    console.print(f"  [yellow]a person[/]         {text}")


def chapter(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def three_deaths(run: SimulatedNode) -> None:
    tell(run.run(0, IN_SAVE_4), "counts 1, 2, 3 and is killed in the middle of saving 4")
    tell(run.run(1, BEFORE_SAVING), "is killed before it has saved anything")
    tell(run.die_before_python(2), "is killed before Python has started")


def latest(run: SimulatedNode) -> Path:
    return Path(run.prefix, "LATEST")


def stock_flytekit(bucket: str) -> bool:
    chapter("Stock flytekit: attempt N is told of attempt N-1, and of nothing else")
    run = node(bucket, "stock")
    stock = {"CKPTPTR_DISABLE": "1"}
    first = replace(run, inputs={"n": 3}).run(0, **stock)
    tell(first, "counts to 3; we stop it there")
    tell(run.die_before_python(1), "is killed before Python has started")
    last = run.run(2, **stock)
    tell(last, "is told of attempt 1 only, whose checkpoint folder is empty")
    say("The work of attempt 0 is intact, and out of reach. No retry is left: the error is final.")
    return last.kind == "NON_RECOVERABLE"


def pointer(bucket: str) -> bool:
    chapter("With ckptptr installed, the same task: LATEST says where to go on")
    run = node(bucket, "a-pointer")
    three_deaths(run)
    last = run.run(3)
    tell(last, "asks for LATEST and one manifest, and lists nothing")
    return last.outputs == {"o0": "counted from 3 to 8"}


def walk_back(bucket: str) -> bool:
    chapter("LATEST is deleted: the walk-back finds the checkpoint all the same")
    run = node(bucket, "b-walkback")
    three_deaths(run)
    latest(run).unlink()
    person("deletes LATEST by mistake")
    tell(
        replace(run, inputs={"n": 3}).run(3),
        "looks into the homes of attempts 2, 1 and 0; asked to count to 3 only, it has nothing to do",
    )
    shutil.rmtree(run.home(0))
    person("deletes the folder of attempt 0, which is no longer needed")
    last = run.run(4)
    tell(last, "goes on from the copy that attempt 3 made")
    return last.outputs == {"o0": "counted from 3 to 8"}


def by_hand(bucket: str) -> bool:
    chapter("LATEST is edited by a person: the next attempt obeys")
    run = node(bucket, "c-by-hand")
    tell(run.run(0, IN_SAVE_4), "counts 1, 2, 3 and is killed in the middle of saving 4")
    older = json.loads(latest(run).read_text())["history"][-1]["checkpoint"]
    latest(run).write_text(f"{older}\n")
    person("does not trust 2 and 3, and writes one line into LATEST:")
    say(older)
    last = run.run(1)
    tell(last, "restores it, and removes the hold")
    return last.outputs == {"o0": "counted from 1 to 8"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", metavar="FOLDER", help="keep the bucket there, to look at it")
    folder = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        bucket = str(Path(folder or temporary).resolve())
        ends = [tell_chapter(bucket) for tell_chapter in (stock_flytekit, pointer, walk_back, by_hand)]
        if folder:
            console.print(f"\nLook at it: ckptptr log {node(bucket, 'a-pointer').prefix}")
    console.print(
        "\n[bold green]Nothing was lost.[/]" if all(ends) else "\n[bold red]The story went wrong.[/]"
    )
    return 0 if all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
