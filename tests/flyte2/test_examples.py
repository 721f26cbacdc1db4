"""The examples of Flyte 2, run as their own texts say."""

from __future__ import annotations

import pytest

from tests.examples.texts import simulated

pytestmark = pytest.mark.servers  # they run a0


def test_the_counter_resumes_by_the_simulation_that_it_names() -> None:
    told = simulated("flyte2_counter.py")
    assert (told["finished"], told["resumed"], told["outputs"]) == (True, True, {"o0": "counted from 3 to 8"})
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1, 2]


def test_a_preempted_training_repeats_nothing_and_ends_as_an_undisturbed_one() -> None:
    told = simulated("flyte2_preemption.py")
    first, second, third = told["attempts"]
    assert (first["ending"], second["ending"], third["ending"]) == ("recoverable", "died", "finished")
    assert (told["started_over"], told["repeated_steps"]) == ([], [])
    weight = 1.0
    for _ in range(30):
        weight = weight * 0.9 + 1
    assert told["outputs"] == {"o0": f"{weight:.6f}"}
