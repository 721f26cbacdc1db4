"""The recovery script, followed at a node whose attempts died, with and without ckptptr."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.testing import SimulatedNode
from ckptptr.testing.deaths import in_save
from tests.examples.texts import EXAMPLES, bash, commands

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


@pytest.fixture(scope="module")
def died(tmp_path_factory: pytest.TempPathFactory) -> SimulatedNode:
    """Attempt 0 saved 1, 2 and 3 and died in save 4; attempt 1 died before Python."""
    root = tmp_path_factory.mktemp("died") / "data"
    node = SimulatedNode("counter_task", "count_to", f"{root}", str(EXAMPLES), {"n": 5})
    assert node.run(0, in_save(4)).signal == 9
    node.die_before_python(1)
    return node


@pytest.fixture
def node(died: SimulatedNode, tmp_path: Path) -> SimulatedNode:
    """A copy: each test changes its own."""
    shutil.copytree(died.root, tmp_path / "data", symlinks=True)
    return replace(died, root=f"{tmp_path}/data")


def recover(what: str, node: SimulatedNode, checkpoint: str = "", **environ: str) -> str:
    """As its own text says it."""
    (line,) = (line for line in commands("recover.sh") if line.split()[2] == what)
    said = line.partition("  NODE" if "  NODE" in line else " NODE")[0]
    return bash(f"{said} {node.prefix} {checkpoint}", environ={"EDITOR": "false", **environ})


def ids(text: str) -> list[str]:
    return list(dict.fromkeys(re.findall(r"\d{10}-a\d{4}-[a-z0-9]+", text)))


def test_one_back_is_what_the_next_attempt_obeys(node: SimulatedNode) -> None:
    looked = recover("look", node)
    assert "The next attempt resumes from save 3" in looked
    assert "To undo" in recover("back", node)
    assert node.run(2).outputs == {"o0": "counted from 2 to 5"}


def test_a_checkpoint_is_verified_before_it_is_used_and_a_fresh_start_is_one(node: SimulatedNode) -> None:
    newest, _, oldest, _the_torn_one = ids(recover("look", node))
    recover("use", node, oldest)
    assert oldest in Path(node.prefix, "LATEST").read_text().splitlines()[1]

    (payload,) = Path(node.home(0), "data", newest).iterdir()
    payload.write_bytes(b"9")
    with pytest.raises(AssertionError, match="damaged"):
        recover("use", node, newest)
    assert oldest in Path(node.prefix, "LATEST").read_text().splitlines()[1]

    recover("fresh", node)
    assert node.run(2).outputs == {"o0": "counted from 0 to 5"}


@pytest.mark.parametrize("whole_file", [False, True])
def test_by_hand_there_is_need_of_nothing_but_a_copy_command_and_an_editor(
    node: SimulatedNode, tmp_path: Path, whole_file: bool
) -> None:
    latest = Path(node.prefix, "LATEST").read_text()
    newest, _, oldest = re.findall(r"[^\"]*/manifests/[^\"]*\.json", latest)[-3:]
    editor = tmp_path / "editor"
    edit = f"echo '{oldest}' >" if whole_file else f"sed -i '2s#{newest}#{oldest}#'"
    editor.write_text(f'#!/bin/sh\n{edit} "$1"\n')
    editor.chmod(0o755)
    told = recover("by-hand", node, COPY="cp", EDITOR=str(editor), TMPDIR=str(tmp_path))
    assert Path(told.rpartition(": ")[2].strip()).read_text() == latest
    assert node.run(2).outputs == {"o0": "counted from 1 to 5"}


def test_an_editor_that_was_left_without_a_change_writes_nothing(node: SimulatedNode, tmp_path: Path) -> None:
    latest = Path(node.prefix, "LATEST")
    before = latest.stat()
    told = recover("by-hand", node, COPY="cp", EDITOR="true", TMPDIR=str(tmp_path))
    assert "nothing was changed" in told
    assert latest.stat().st_mtime_ns == before.st_mtime_ns
