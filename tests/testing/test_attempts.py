"""Each kind of death, and each form in which Flyte starts a pod, through the real entry points."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.nodes.flyte_paths import UID_LIMITS, NodePrefix
from ckptptr.testing import Life, SimulatedNode, assert_resumes, simulate
from ckptptr.testing.deaths import (
    after_save,
    at_byte,
    before_first_save,
    before_python,
    in_save,
    lost_network,
    sigterm,
)
from ckptptr.testing.outcome import Ending

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute

TASKS = str(Path(__file__).with_name("tasks"))
Make = Callable[..., SimulatedNode]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def node(task: str, **options: object) -> SimulatedNode:
        given = {"root": f"{tmp_path}/data", "folder": TASKS, **options}
        return SimulatedNode("simulated_tasks", task, **given)  # type: ignore[arg-type]

    return node


@pytest.fixture(scope="module")
def hard_life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A task that dies in every way there is, and finishes."""
    root = str(tmp_path_factory.mktemp("hard"))
    node = SimulatedNode("simulated_tasks", "train", root=root, folder=TASKS, inputs={"steps": 7})
    return simulate(
        node,
        [
            before_first_save(),
            after_save(2),
            before_python(),
            in_save(1),
            at_byte(150, of_save=2),
            lost_network(in_save(2)),
        ],
    )


def test_every_death_comes_and_the_task_resumes(hard_life: Life) -> None:
    assert_resumes(hard_life, repeating_at_most=4)
    assert hard_life.repeated_steps == (10, 30, 40, 50)
    assert hard_life.outputs == {"o0": "from 40"}


@pytest.mark.parametrize(
    ("attempt", "restored", "confirmed", "torn"),
    [
        (0, None, [], [10]),
        (1, None, [10, 20], []),
        (2, None, [], []),
        (3, 20, [], [30]),
        (4, 20, [30], [40]),
        (5, 30, [40], [50]),
        (6, 40, [50, 60, 70], []),
    ],
)
def test_what_each_attempt_restored_and_saved(
    hard_life: Life, attempt: int, restored: int | None, confirmed: list[int], torn: list[int]
) -> None:
    lived = hard_life.attempts[attempt]
    assert (lived.restored.step if lived.restored else None) == restored, lived.log
    assert [save.step for save in lived.saves if save.checkpoint] == confirmed
    assert [save.step for save in lived.saves if not save.checkpoint] == torn


def test_how_each_attempt_ended(hard_life: Life) -> None:
    *killed, cut_off, last = hard_life.attempts
    assert [attempt.signal for attempt in killed] == [signal.SIGKILL] * 5
    assert (cut_off.signal, cut_off.ending) == (0, Ending.RECOVERABLE)
    assert "the network is lost" in cut_off.reason
    assert last.ending is Ending.FINISHED


def test_the_timeline_tells_it_all(hard_life: Life) -> None:
    *lines, sentence = hard_life.timeline().splitlines()
    assert len(lines) == 1 + 7
    assert "byte 150 of save 2" in lines[5]
    assert "30, not 40" in lines[5]
    assert "20 of attempt 1, by LATEST" in lines[5]
    assert sentence.startswith("Finished; resumed; ")


def test_the_first_process_of_a_pod_hears_no_sigterm_unless_it_listens(make: Make) -> None:
    """As PID 1 does; the grace is longer than the rest of the task."""
    deaf = make("train", inputs={"steps": 3}).run(0, sigterm(after_save(1)))
    assert deaf.struck
    assert deaf.ending is Ending.FINISHED, deaf.log
    life = simulate(make("polite", inputs={"n": 4}, node="n1"), [sigterm(after_save(2))])
    assert life.attempts[0].ending is Ending.RECOVERABLE
    assert life.attempts[0].reason.endswith("told to stop after 2")
    assert_resumes(life)


def test_what_a_pod_starts_does_hear_sigterm(make: Make) -> None:
    assert make("parent").run(0).outputs == {"o0": "[-15, -15]"}


def test_with_fast_registration_the_parent_forwards_sigterm_and_the_child_ends(make: Make) -> None:
    node = make("train", inputs={"steps": 40}, fast=True)
    life = simulate(node, [sigterm(after_save(2)), after_save(1)])
    first, second, _ = life.attempts
    assert (first.ending, first.signal, first.exit_code) == (Ending.DIED, 0, 256 - signal.SIGTERM)
    assert second.signal == signal.SIGKILL  # parent and child, both
    assert_resumes(life, repeating_at_most=1)
    assert list(Path(node.root, "fast").iterdir())


def test_when_the_grace_is_over_sigkill_comes(make: Make) -> None:
    attempt = make("patient").run(0, sigterm(after_save(1), grace=0.2))
    assert (attempt.struck, attempt.signal, attempt.timed_out) == (True, signal.SIGKILL, False)
    assert [save.checkpoint != "" for save in attempt.saves] == [True]


def test_sigterm_can_come_after_so_many_seconds_and_is_not_heard_while_python_starts(make: Make) -> None:
    attempt = make("patient").run(0, sigterm(0.1, grace=0.5))
    assert (attempt.struck, attempt.signal) == (True, signal.SIGKILL)
    assert 0.6 <= attempt.seconds < 10


def test_an_attempt_whose_time_is_up_is_killed_and_is_the_last(make: Make) -> None:
    life = simulate(make("patient"), timeout=5)
    (attempt,) = life.attempts
    assert (attempt.ending, attempt.signal) == (Ending.TIMED_OUT, signal.SIGKILL)
    assert not life.finished


def test_a_task_that_never_restores_is_found_out(make: Make) -> None:
    life = simulate(make("forgetful", inputs={"n": 3}), [after_save(2)])
    with pytest.raises(AssertionError, match="attempt 1 started over although there was a checkpoint"):
        assert_resumes(life, repeating_at_most=9)
    assert life.repeated_steps == (1, 2)


def test_no_attempt_finds_what_another_left_on_its_disk(make: Make) -> None:
    life = simulate(make("messy", inputs={"n": 2}), [after_save(1)])
    assert life.outputs == {"o0": "0 left over, True"}
    assert not Path(TASKS, "left-over").exists()


def test_an_error_that_is_not_recoverable_is_the_end(make: Make) -> None:
    life = simulate(make("broken"))
    assert [attempt.ending for attempt in life.attempts] == [Ending.FAILED]
    assert "failed for good: ValueError: no such layer" in life.timeline()


def test_a_retry_of_the_parent_gives_a_map_index_another_node(make: Make) -> None:
    node = make("polite", inputs={"n": [3, 4]}, index=1)
    again = replace(node, parent_attempt=2)
    assert (node.uid, again.uid) == ("n0-0-n1", "n0-2-n1")
    assert again.run(0).outputs == {"o0": "from 0"}
    assert Path(again.prefix, "LATEST").exists()


def test_recover_mode_hands_the_old_home_to_attempt_0_only(make: Make) -> None:
    old = make("polite", inputs={"n": 2})
    assert old.run(0).outputs
    new = replace(old, execution="a" + "b" * 19, previous=old.home(0), inputs={"n": 4})
    life = simulate(new, [after_save(1)])
    assert [attempt.restored.seq for attempt in life.attempts if attempt.restored] == [2, 3]
    assert life.outputs == {"o0": "from 3"}


@pytest.mark.parametrize(
    "layout", [{"uid_limit": 47, "execution": "e" * 44}, {"infix": ("org", "x")}], ids=["ray", "union"]
)
def test_other_layouts_are_computed_as_flyte_does(make: Make, layout: dict[str, object]) -> None:
    node = make("polite", inputs={"n": 2}, **layout)
    homes = NodePrefix(
        root=node.root,
        project=node.project,
        domain=node.domain,
        execution=node.execution,
        node="n0",
        infix=node.infix,
        uid_limits=UID_LIMITS,
    ).homes_of(0)
    assert node.home(0) == homes[-1]
    assert len(homes) == (2 if layout.get("uid_limit") else 1)


def test_the_layout_of_ray_is_recognized_in_the_pod(make: Make) -> None:
    node = make("polite", inputs={"n": 2}, uid_limit=47, execution="e" * 44)
    attempt = node.run(0)
    assert attempt.outputs
    assert "does not know this layout" not in attempt.log


def test_in_a_bucket_and_in_the_fast_form_all_the_same(request: pytest.FixtureRequest, make: Make) -> None:
    server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")
    node = make(
        "train",
        inputs={"steps": 4},
        root=f"s3://{bucket}/simulated",
        fast=True,
        environ={
            "FLYTE_AWS_ENDPOINT": server.endpoint,
            "FLYTE_AWS_ACCESS_KEY_ID": server.access_key,
            "FLYTE_AWS_SECRET_ACCESS_KEY": server.secret_key,
        },
        storage_options={
            "key": server.access_key,
            "secret": server.secret_key,
            "endpoint_url": server.endpoint,
        },
    )
    life = simulate(node, [at_byte(150, of_save=3)])
    assert_resumes(life, repeating_at_most=1)
    assert life.outputs == {"o0": "from 20"}
