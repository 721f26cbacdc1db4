"""Names that come from a bucket cannot forge a line of a log, or steer a terminal."""

from __future__ import annotations

import ast
import logging
from pathlib import Path

import pytest

import ckptptr
from ckptptr.logs import LOGGERS, escape_control_characters

HOSTILE = "x\n2026-11-28 ERROR all is lost\r\x1b[2J\u202e"
ESCAPED = "x\\n2026-11-28 ERROR all is lost\\r\\x1b[2J\\u202e"


@pytest.mark.parametrize("name", LOGGERS)
def test_a_message_is_one_line_whatever_is_in_it(name: str, caplog: pytest.LogCaptureFixture) -> None:
    escape_control_characters()
    logging.getLogger(name).warning("not restoring %s", HOSTILE)
    assert caplog.messages == [f"not restoring {ESCAPED}"]


def test_an_error_is_one_line_and_still_has_the_name_as_it_is() -> None:
    error = ckptptr.NotFoundError("no such checkpoint", key=HOSTILE)
    assert str(error) == f"no such checkpoint: {ESCAPED}"
    assert error.key == HOSTILE


@pytest.mark.slow
def test_the_package_logs_to_these_loggers_only() -> None:
    calls = [
        ast.literal_eval(node.args[0]) if node.args else ""
        for path in Path(ckptptr.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"
        if not node.args or isinstance(node.args[0], ast.Constant)
    ]
    assert set(calls) <= {*LOGGERS, "", "ckptptr.verbosity"}


def test_a_restore_says_what_a_hostile_latest_names_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ckptptr.open(tmp_path / "run") as checkpoints:
        checkpoints.save(b"1", step=1)
    (tmp_path / "run/LATEST").write_text('{"checkpoint": "no\\nsuch\\u001b[2Jthing"}')
    with ckptptr.open(tmp_path / "run") as checkpoints:
        assert checkpoints.restore() is not None
        assert "\n" not in str(checkpoints.resolution)
        assert str(checkpoints.resolution).isprintable()
    assert caplog.messages
    assert all(message.isprintable() for message in caplog.messages)
