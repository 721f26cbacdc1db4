"""The tab "Checkpoints": there where a task has a report, also if it fails, and never a danger to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import flyte
import pytest

from ckptptr.flyte2 import report
from ckptptr.testing.actions import SimulatedAction
from tests.flyte2.contexts import context, run

pytestmark = pytest.mark.filterwarnings(  # the SDK leaves its template open
    "ignore:Exception ignored in.*_template.html:pytest.PytestUnraisableExceptionWarning"
)

env = flyte.TaskEnvironment(name="reporting")


@env.task(report=True)
async def reports(fails: bool) -> str:
    await flyte.ctx().checkpoint.load()
    await flyte.ctx().checkpoint.save(b"state")
    if fails:
        raise RuntimeError("after the first save")
    return "saved"


@env.task(report=True)
async def uses_nothing() -> str:
    return "done"


@env.task
async def has_none() -> str:
    await flyte.ctx().checkpoint.save(b"state")
    return "done"


def written(root: Path) -> Path:
    folder = root / "r1" / "a0" / "1"
    folder.mkdir(parents=True)
    return folder / "report.html"


def test_the_report_shows_what_was_restored_and_saved(tmp_path: Path) -> None:
    of = context(tmp_path)
    assert asyncio.run(run(reports, of, fails=False)) == ("saved", None)
    assert "started fresh, and saved 1 checkpoint" in of.report.tabs["Checkpoints"].get_html()


def test_that_of_a_task_that_fails_is_written_too(tmp_path: Path) -> None:
    page = written(tmp_path)
    _, error = asyncio.run(run(reports, context(tmp_path), fails=True))
    assert "after the first save" in str(error)
    assert "started fresh, and saved 1 checkpoint" in page.read_text()


@pytest.mark.parametrize("task", [uses_nothing, has_none], ids=["uses no checkpoint", "has no report"])
def test_without_a_report_or_a_checkpoint_there_is_no_tab(tmp_path: Path, task: object) -> None:
    of = context(tmp_path)
    assert asyncio.run(run(task, of)) == ("done", None)
    assert [*of.report.tabs] == ["main"]


def test_a_tab_of_the_tasks_own_stays(tmp_path: Path) -> None:
    of = context(tmp_path)
    of.report.get_tab("Checkpoints").log("mine")
    asyncio.run(run(reports, of, fails=False))
    assert of.report.tabs["Checkpoints"].get_html() == "mine"


def test_whatever_is_wrong_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(report, "drawn", None)
    assert asyncio.run(run(reports, context(tmp_path), fails=False)) == ("saved", None)
    assert "this task has no report of its checkpoints: TypeError" in caplog.text


@pytest.mark.servers
def test_a0_leaves_the_page_of_a_task_that_failed(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "import flyte\n"
        "env = flyte.TaskEnvironment(name='failing')\n"
        "@env.task(report=True)\n"
        "def fails() -> None:\n"
        "    flyte.ctx().checkpoint.save_sync(b'state')\n"
        "    raise RuntimeError\n"
    )
    action = SimulatedAction("failing", "fails", root=f"{tmp_path}/data", folder=str(tmp_path))
    assert action.run(1).kind == "RECOVERABLE"
    assert "saved 1 checkpoint" in Path(action.outputs_at(1), "report.html").read_text()
