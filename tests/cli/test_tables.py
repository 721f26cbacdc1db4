"""Every table of every command, on terminals of 60, 80, 100 and 200 columns."""

from __future__ import annotations

import itertools
import re
import time

import pytest

import ckptptr
from tests.cli.conftest import EXECUTION, FlyteNode, run


@pytest.fixture
def busy(node: FlyteNode, ids: dict[int, str]) -> FlyteNode:
    """Two attempts; a checkpoint is damaged, another was made by a task that counts no steps."""
    node.save(1, 4, 5)
    node.damage(ids[2])
    FlyteNode(node.root, "a-node-with-a-long-name").save(0, 123456)
    for index in range(2):
        FlyteNode(node.root, f"a-map-task-0-n{index}").save(0, index)
    return node


def table(said: str) -> list[str]:
    """The lines of the table: from its heading to an empty line, or to what is said about it."""
    lines = said.splitlines()
    heading = re.compile(" +(outcome|#|state|published|size|written) +(step|state|UTC|objects|size|node)")
    first = next(place for place, line in enumerate(lines) if heading.match(line))
    return [*itertools.takewhile(lambda line: line.strip() and ": " not in line, lines[first:])]


NODES = ("n0", "a-node-with-a-long-name", "a-map-task-0-n*")
PLACE = (EXECUTION, "flytesnacks/development")
TABLES = {
    "show {node}": (),
    "log {node} --column x": (),
    "verify {node} --all": (),
    "verify {execution}": NODES,
    "doctor {execution}": NODES,
    "find {root}": (*NODES, *PLACE),
    "du {root} --by node": (*NODES, *PLACE),
    "clean {root} --older-than 30d --dry-run": PLACE,
}
"""Each command, and the names that its table has; without any the ids of checkpoints."""


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("command", TABLES)
def test_no_row_is_wider_than_the_terminal_and_no_name_is_missing(
    busy: FlyteNode, columns: int, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ckptptr.cli.output.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("ckptptr.cli.clean.before", lambda *_: time.time() + 60)
    execution = busy.url.rpartition("/")[0]
    said = run(*command.format(node=busy.url, execution=execution, root=busy.root).split()).stdout
    rows = table(said)
    too_wide = [line for line in rows if len(line) > columns and "  " in line.strip()]
    assert not too_wide
    ids = {path.stem for path in busy.root.glob("*/*/_flytecheckpoints/manifests/*.json")}
    in_table = "\n".join(rows)
    names = TABLES[command]
    assert all(name in in_table for name in names)
    assert names or len([name for name in ids if name in in_table]) >= 3
    if command.startswith("find"):
        assert "UTC" not in said or columns == 200


def test_in_a_pipe_every_column_is_there(busy: FlyteNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    heading = table(run("log", busy.url).stdout)[0].split()
    assert heading == ["#", "state", "step", "attempt", "seq", "size", "published", "UTC", "id", "parent"]


def test_a_chosen_key_of_the_metadata_is_a_column(node: FlyteNode) -> None:
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.save(b"1", step=1, metadata={"loss": 0.25, "name": "first"})
        checkpoints.save(b"2", metadata={"loss": None})
    said = run("log", node.url, "--column", "loss", "--column", "name").stdout.splitlines()
    rows = [line.split() for line in said if line.startswith("  ")]
    assert rows[0][:6] == ["#", "state", "step", "loss", "name", "attempt"]
    assert rows[1][2:6] == ["save", "2", "null", "-"]
    assert rows[2][2:5] == ["1", "0.25", "first"]
    shown = run("show", node.url).stdout
    assert shown.startswith("The next attempt resumes from save 2.\n")
    assert 'metadata    {"loss":null}\n' in shown
    assert '{"loss":0.25,"name":"first"}' in run("verify", node.url, "--all").stdout
