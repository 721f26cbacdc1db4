from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing import SimulatedNode
from ckptptr.testing.deaths import FORMS
from tests.cli.conftest import run, run_json

TASKS = str(Path(__file__).with_name("tasks"))


@pytest.mark.servers
def test_it_tells_each_attempt_and_the_timeline_and_keeps_what_it_is_told_to_keep(tmp_path: Path) -> None:
    train = ("simulate", "simulated_tasks:train", "--folder", TASKS, "--input", "steps=3")
    result = run(*train, "--root", str(tmp_path / "data"), "--die", "byte 150 of save 2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "attempt 0 (byte 150 of save 2): killed by SIGKILL"
    assert lines[1] == "attempt 1: finished"
    assert "Finished; resumed; 1 step repeated (20)." in lines
    (prefix,) = (line.partition("ckptptr log ")[2] for line in lines if "ckptptr log " in line)
    assert run("log", prefix).exit_code == 0


@pytest.mark.servers
def test_as_json_with_a_map_index_and_an_environment() -> None:
    told = run_json(
        *("simulate", "simulated_tasks:polite", "--folder", TASKS, "--map-index", "1"),
        *("--input", "n=[2, 3]", "--die", "none", "--env", "CKPTPTR_KEEP_LAST=1"),
    )
    (attempt,) = told.pop("attempts")
    assert told.pop("node").endswith("/n0-0-n1")
    assert told == {
        "command": "simulate",
        "kept": False,
        "task": "simulated_tasks:polite",
        "finished": True,
        "resumed": False,
        "started_over": [],
        "repeated_steps": [],
        "outputs": {"o0": "from 0"},
    }
    assert attempt.pop("seconds") > 0
    assert all(save.pop("checkpoint").endswith(".json") for save in attempt["saves"])
    assert attempt == {
        "attempt": 0,
        "death": None,
        "came": False,
        "ending": "finished",
        "signal": None,
        "exit_code": 0,
        "reason": "",
        "restored": {"verdict": "fresh", "checkpoint": None, "step": None, "attempt": None, "seq": None},
        "saves": [{"step": 1}, {"step": 2}, {"step": 3}],
    }


@pytest.mark.servers
def test_a_task_that_does_not_finish_is_an_exit_code_of_its_own_and_nothing_is_left() -> None:
    result = run("simulate", "simulated_tasks:broken", "--folder", TASKS, "--json")
    assert result.exit_code == 10
    told = json.loads(result.stdout)
    assert (told["finished"], told["attempts"][0]["reason"]) == (False, "ValueError: no such layer")
    assert not Path(told["node"].partition("/_ckptptr")[0]).exists()


@pytest.mark.parametrize("text", ["boom", "after save 0"])
def test_a_death_that_is_none_is_told_with_all_the_ways_to_die(text: str) -> None:
    result = run("simulate", "m:t", "--die", text)
    assert result.exit_code == 2
    assert FORMS.splitlines()[0] in result.stderr
    failure = json.loads(run("simulate", "m:t", "--die", text, "--json").stderr)
    assert failure["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ("nowhere:train", "No module named 'nowhere'"),
        ("simulated_tasks:nothing", "has no attribute 'nothing'"),
        ("simulated_tasks:TASKS", "has no attribute 'TASKS'"),
        ("simulated_tasks:Path", "has no attribute 'metadata'"),
    ],
)
@pytest.mark.servers  # importing flytekit takes as long as an attempt
def test_a_task_that_cannot_be_imported_is_told_with_the_reason(task: str, complaint: str) -> None:
    result = run("simulate", task, "--folder", TASKS)
    assert result.exit_code == 2
    assert f"{task} is no task that can be imported in {TASKS}" in result.stderr
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_task_needs_a_module_and_a_name() -> None:
    result = run("simulate", "train")
    assert (result.exit_code, "a task is MODULE:TASK" in result.stderr) == (2, True)


def test_the_help_names_the_exit_code_and_the_ways_to_die() -> None:
    said = run("simulate", "--help").stdout
    assert "exit code is 10" in said
    assert all(line.strip() in said for line in FORMS.splitlines())


class TestWithoutPods:
    """What the command makes of its options: the task is not looked at, and its attempts are not run."""

    @pytest.fixture
    def nodes(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        seen: list[Any] = []

        def stand_in(node: SimulatedNode, *_: Any, **options: Any) -> Any:
            seen.append((node, options))
            return iter([_finished()])

        monkeypatch.setattr("ckptptr.testing.life.attempts_of", stand_in)
        monkeypatch.setattr("ckptptr.cli.simulate._look", lambda *_: {"retries": 4})
        return seen

    def test_inputs_are_read_as_json_where_they_are(self, nodes: list[Any]) -> None:
        inputs = ("n=8", "rate=1e-3", "name=resnet", 'quoted="8"', "on=true", "xs=[1, 2]", "url=a=b")
        run("simulate", "m:t", *(word for pair in inputs for word in ("--input", pair)))
        assert nodes[0][0].inputs == {
            "n": 8,
            "rate": 0.001,
            "name": "resnet",
            "quoted": "8",
            "on": True,
            "xs": [1, 2],
            "url": "a=b",
        }

    def test_retries_are_those_of_the_task_unless_told(self, nodes: list[Any]) -> None:
        run("simulate", "m:t")
        run("simulate", "m:t", "--retries", "0", "--timeout", "5")
        assert [options["retries"] for _, options in nodes] == [4, 0]
        assert [options["timeout"] for _, options in nodes] == [600, 5]

    def test_each_run_is_another_execution(self, nodes: list[Any]) -> None:
        run("simulate", "m:t")
        run("simulate", "m:t", "--fast")
        (first, _), (second, _) = nodes
        assert first.execution != second.execution
        assert (len(first.execution), first.fast, second.fast) == (20, False, True)

    def test_a_task_of_flyte_2_is_sent_in_a_code_bundle_and_is_no_map_task(
        self, nodes: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ckptptr.cli.simulate._look", lambda *_: {"retries": 4, "is_flyte_2": True})
        run("simulate", "m:t")
        run("simulate", "m:t", "--fast")
        assert [node.bundle for node, _ in nodes] == [None, "tgz"]
        refused = run("simulate", "m:t", "--map-index", "0")
        assert (refused.exit_code, len(nodes)) == (2, 2)
        assert "--map-index is for flytekit tasks" in refused.stderr

    def test_a_kept_folder_is_there_and_another_one_is_not(self, nodes: list[Any]) -> None:
        run("simulate", "m:t", "--keep")
        run("simulate", "m:t")
        kept, gone = (Path(node.root) for node, _ in nodes)
        assert (kept.is_dir(), gone.exists()) == (True, False)
        kept.rmdir()

    def test_a_root_that_makes_no_sense_is_refused(self, nodes: list[Any]) -> None:
        result = run("simulate", "m:t", "--root", "ftp://x/y")
        assert (result.exit_code, nodes) == (2, [])
        assert "ftp://" in result.stderr


def _finished() -> Any:
    from ckptptr.testing.outcome import Attempt

    return Attempt(0, 0, 0, {}, "", "", "", (), 1.0)
