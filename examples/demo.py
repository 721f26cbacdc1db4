"""The story of ckptptr, told by running it: `make demo`.

Every attempt below is a real `pyflyte-execute` of the unchanged `counter_task.py`, with the paths
and arguments that Flyte would give it, and every death is a real SIGKILL. A folder stands for the
bucket.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from ckptptr.testing.attempts import Attempt, Fault, SimulatedNode

EXAMPLES = Path(__file__).parent
IN_SAVE_4 = Fault("kill", op="upload", nth=4, when="after")
BEFORE_SAVING = Fault("kill", op="upload", nth=1)

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
    """One attempt: how it ended, what ckptptr said, what it asked of the store to find out."""
    color = "green" if attempt.outputs else "red"
    console.print(f"  [{color}]attempt {attempt.number}[/]  {how}")
    for line in attempt.log.splitlines():
        if line.startswith("ckptptr: re") or "copied" in line or "adopted" in line:
            console.print(f"             [cyan]{escape(line.removeprefix('ckptptr: '))}[/]")
    before_saving = [operation for operation, _ in attempt.requests]
    if "upload" in before_saving:
        before_saving = before_saving[: before_saving.index("upload")]
    if attempt.outputs:
        console.print(f"             [bold green]{escape(str(attempt.outputs['o0']))}[/]")
    if attempt.error:
        console.print(f"             [bold red]{attempt.kind}[/] {escape(last_line(attempt.error))}")


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1].strip()


def chapter(title: str) -> None:
    console.print(f"\n[bold]{title}[/]")


def two_deaths(run: SimulatedNode) -> None:
    tell(run.run(0, IN_SAVE_4), "counts 1, 2, 3 and is killed in the middle of saving 4")
    tell(run.run(1, BEFORE_SAVING), "is killed before it has saved anything")
    tell(run.die_before_python(2), "is killed before Python has started")


def latest(run: SimulatedNode) -> Path:
    return Path(run.prefix, "LATEST")


def stock_flytekit(bucket: str) -> bool:
    chapter("Stock flytekit: attempt N is told of attempt N-1 only")
    run = node(bucket, "stock")
    attempts = [run.run(number, CKPTPTR_DISABLE="1") for number in (1,)]
    tell(attempts[0], "follows an attempt that died before its first save")
    console.print("             and its retries are not used: the error is final")
    return attempts[0].kind == "NON_RECOVERABLE"


def pointer(bucket: str) -> bool:
    chapter("With ckptptr installed: LATEST says where to go on")
    run = node(bucket, "a-pointer")
    two_deaths(run)
    last = run.run(3)
    tell(last, "goes on")
    looked = [operation for operation, _ in last.requests[:3]]
    console.print(f"             it asked the store for LATEST and one manifest, and listed nothing: {looked}")
    return last.outputs == {"o0": "counted from 3 to 8"}


def walk_back(bucket: str) -> bool:
    chapter("LATEST deleted: the walk-back finds the checkpoint all the same")
    run = node(bucket, "b-walkback")
    two_deaths(run)
    latest(run).unlink()
    console.print("  [yellow]somebody[/]   deletes LATEST")
    last = run.run(3)
    tell(last, "walks back through the homes of attempts 2, 1 and 0")
    return last.outputs == {"o0": "counted from 3 to 8"} and latest(run).exists()


def by_hand(bucket: str) -> bool:
    chapter("LATEST edited by a person: the next attempt obeys")
    run = node(bucket, "c-byhand")
    tell(run.run(0, IN_SAVE_4), "counts 1, 2, 3 and is killed in the middle of saving 4")
    pointer = json.loads(latest(run).read_text())
    older = pointer["history"][-1]["checkpoint"]
    latest(run).write_text(older + "\n")
    console.print(f"  [yellow]a person[/]   writes one line into LATEST: {older}")
    last = run.run(1)
    tell(last, "takes the choice up")
    return last.outputs == {"o0": "counted from 1 to 8"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", metavar="FOLDER", help="keep the bucket there, to look at it")
    folder = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as temporary:
        bucket = str(Path(folder or temporary).resolve())
        ends = [tell_chapter(bucket) for tell_chapter in (stock_flytekit, pointer, walk_back, by_hand)]
        if folder:
            console.print(f"\nLook at it: ckptptr log {bucket}/data/_ckptptr/flytesnacks/development/a-pointer/n0")
    console.print("\n[bold green]Nothing was lost.[/]" if all(ends) else "\n[bold red]The story went wrong.[/]")
    return 0 if all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
