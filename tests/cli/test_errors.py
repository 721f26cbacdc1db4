"""Errors: one message, one exit code by kind, on stderr, never a traceback, never "no checkpoints"."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from ckptptr import errors
from ckptptr.cli.exit_codes import ExitCode, as_table, exit_code_of
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run

ALWAYS = 10**6


COMMANDS_ON_A_NODE = [
    *(["show"], ["log"], ["use", "#1"], ["rollback"], ["release"], ["pin", "#1"], ["unpin", "#1"]),
    *(["verify", "--deep"], ["get", "{tmp}/out"], ["put", "{tmp}"], ["export", "{tmp}/out"]),
    ["sweep", "--dry-run"],
]


@pytest.mark.parametrize("command", COMMANDS_ON_A_NODE, ids=lambda command: command[0])
@pytest.mark.parametrize("key", ["LATEST", "_flytecheckpoints"])
@pytest.mark.usefixtures("ids")
def test_a_store_that_does_not_answer_is_never_an_empty_one(
    node: FlyteNode, faults: list[Fault], tmp_path: Path, command: list[str], key: str
) -> None:
    name, *rest = (word.format(tmp=tmp_path) for word in command)
    faults.append(Fault(key=key, times=ALWAYS))
    said = run(name, node.url, *rest)
    assert said.exit_code == ExitCode.STORE_UNAVAILABLE
    assert said.stdout == ""
    assert "injected before the request" in said.stderr
    assert "This says nothing about what is there" in said.stderr


@pytest.mark.usefixtures("ids")
def test_a_refusal_names_the_permission(node: FlyteNode, faults: list[Fault]) -> None:
    denied = errors.AccessDeniedError("the store refused", key="k", hint="Grant s3:GetObject.")
    faults.append(Fault(op="read", error=denied, times=ALWAYS))
    said = run("show", node.url)
    assert said.exit_code == ExitCode.STORE_UNAVAILABLE
    assert "Hint: Grant s3:GetObject." in said.stderr


@pytest.mark.usefixtures("ids")
def test_a_hiccup_is_waited_out(node: FlyteNode, faults: list[Fault]) -> None:
    faults.append(Fault(op="read", times=2))
    assert run("show", node.url).exit_code == 0


def test_a_latest_of_a_newer_version_asks_for_an_upgrade(node: FlyteNode, ids: dict[int, str]) -> None:
    node.latest.write_text(node.latest.read_text().replace("ckptptr/1", "ckptptr/2"))
    for command in (["show", node.url], ["log", node.url], ["use", node.url, ids[1]]):
        said = run(*command)
        assert said.exit_code == ExitCode.UNSUPPORTED_FORMAT
        assert "Hint: Upgrade ckptptr" in said.stderr


@pytest.mark.usefixtures("ids")
def test_with_json_an_error_is_json_on_stderr(node: FlyteNode) -> None:
    said = run("use", node.url, "/etc", "--json")
    assert said.stdout == ""
    assert json.loads(said.stderr) == {
        "error": {
            "code": "invalid-argument",
            "message": "the reference leaves the root (CKPTPTR_ALLOW_ROOTS lists what else may be named)",
            "key": "/etc",
            "hint": "List the other place in CKPTPTR_ALLOW_ROOTS to permit it",
            "nodes": [],
            "looked_at": [],
        },
        "exit_code": 2,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"],
        ["show", "x", "--no-such"],
        ["show", "x", "--storage-option", "novalue"],
        ["use", "memory://a"],
    ],
)
def test_a_mistyped_command_line_is_told_in_json_too(arguments: list[str]) -> None:
    said = run(*arguments, "--json")
    assert said.exit_code in (ExitCode.USAGE, ExitCode.NOTHING_FOUND)
    assert set(json.loads(said.stderr)) == {"error", "exit_code"}


@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.usefixtures("ids")
def test_ctrl_c_exits_with_130(node: FlyteNode, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ckptptr.cli.show.explain", interrupted)
    said = run("show", node.url, *flags)
    assert said.exit_code == 130
    assert "nterrupted" in said.stderr


@pytest.mark.parametrize("arguments", [["-v", "show"], ["show", "-v"]])
def test_log_lines_are_printed_when_asked_for(
    node: FlyteNode, ids: dict[int, str], arguments: list[str]
) -> None:
    node.damage(ids[3])
    handlers = list(logging.getLogger("ckptptr").handlers)
    assert "ckptptr: not restoring" in run(*arguments, node.url).stderr
    assert run("show", node.url).stderr == ""
    assert logging.getLogger("ckptptr").handlers == handlers


def test_each_error_of_the_tree_has_its_exit_code() -> None:
    kinds = {name: getattr(errors, name) for name in dir(errors) if name.endswith("Error")}
    codes = {name: int(exit_code_of(kind("x"))) for name, kind in kinds.items()}
    assert codes == {
        "CkptptrError": 1,
        "PreemptedError": 1,
        "IncompleteError": 1,
        "SettingError": 2,
        "InvalidArgumentError": 2,
        "UnidentifiedError": 2,
        "OtherWorkError": 2,
        "NotFoundError": 3,
        "DamagedError": 4,
        "UnsupportedFormatError": 5,
        "StoreUnavailableError": 6,
        "AccessDeniedError": 6,
        "ConflictError": 7,
        "SupersededError": 7,
        "OutcomeUnknownError": 7,
        "LocalMachineError": 8,
        "LocalDiskError": 8,
    }


def test_help_has_the_table_of_exit_codes() -> None:
    said = run("--help").stdout
    assert len(as_table().splitlines()) == len(ExitCode)
    for line in as_table().splitlines():
        assert line in said
