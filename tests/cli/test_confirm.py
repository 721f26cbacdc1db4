"""With `--json` no command asks: without `--yes` it is refused, and stderr is one JSON error."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

import ckptptr
from ckptptr.cli import main
from tests.cli.conftest import FlyteNode, run
from tests.cli.test_clean import age

ASKING = [
    *(["use", "{node}", "none"], ["release", "{node}", "none"], ["drop", "{node}", "#2"]),
    *(["rollback", "{node}", "--drop"], ["get", "{node}", "{out}"], ["sweep", "{node}"]),
    *(["sweep", "{execution}"], ["clean", "{root}", "--older-than", "30d"]),
]


@pytest.fixture
def over(node: FlyteNode, tmp_path: Path) -> FlyteNode:
    """Two nodes of an execution that is over, an expired checkpoint, and a file that `get` would replace."""
    for each in (node, FlyteNode(node.root, "n1")):
        each.save(0, 1, 2, 3)
        each.save(1, 4)
    run("get", node.url, str(tmp_path / "out"))
    for path in (tmp_path / "out").iterdir():
        path.write_text("mine")
    age(node.root)
    return node


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(*arguments: str) -> dict[str, str]:
    said = run(*arguments, "--json", stdin="y\n")
    assert (said.exit_code, said.stdout) == (2, "")
    error: dict[str, str] = json.loads(said.stderr)["error"]
    assert error["code"] == "invalid-argument"
    assert error["message"].endswith(" was not confirmed, nothing was changed")
    return error


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_with_json_no_command_asks(over: FlyteNode, tmp_path: Path, command: list[str]) -> None:
    places = {
        "node": over.url,
        "execution": Path(over.url).parent,
        "root": over.root,
        "out": tmp_path / "out",
    }
    words = [word.format(**places) for word in command]
    before = content(tmp_path)
    assert refused(*words)["hint"] == "--yes confirms it"
    assert content(tmp_path) == before
    assert run(*words, "--json", "--yes").exit_code == 0


def test_these_are_all_commands_that_ask() -> None:
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    with_yes = {name for name, each in commands.items() if each and "yes" in {p.name for p in each.params}}
    assert with_yes == {command[0] for command in ASKING}


def test_a_bare_release_with_newer_work_beside_it_says_in_json_what_to_type(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.restore()
        run("use", node.url, ids[1])
        newest = checkpoints.save(b"x", step=4)
    assert (
        f"Keep the newest: ckptptr release {node.url} {Path(newest.reference).stem}."
        in refused("release", node.url)["hint"]
    )


@pytest.mark.parametrize(
    "command", [["drop", "{node}"], ["clean", "{node}", "--older-than", "1h"]], ids=" ".join
)
def test_what_a_command_itself_finds_mistyped_is_told_in_json_too(
    node: FlyteNode, command: list[str]
) -> None:
    node.save(0, 1)
    said = run(*(word.format(node=node.url) for word in command), "--json")
    assert (said.exit_code, json.loads(said.stderr)["error"]["code"]) == (2, "usage")


@pytest.mark.usefixtures("ids")
def test_a_guess_of_target_is_no_line_beside_a_json_error(node: FlyteNode) -> None:
    said = run("use", node.url[:-1], "no-such-checkpoint", "--json")
    assert json.loads(said.stderr)["exit_code"] == said.exit_code == 3
