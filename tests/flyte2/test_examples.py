"""The examples of Flyte 2, run as their own texts say."""

from __future__ import annotations

import pytest

from tests.examples.texts import simulated

pytestmark = pytest.mark.servers  # they run a0


def test_the_counter_resumes_by_the_simulation_that_it_names() -> None:
    told = simulated("flyte2_counter.py")
    assert (told["finished"], told["resumed"], told["outputs"]) == (True, True, {"o0": "counted from 3 to 8"})
    assert [attempt["attempt"] for attempt in told["attempts"]] == [1, 2]
