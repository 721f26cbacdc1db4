"""The processes of `jax.distributed` agree by its service, also in a JobSet of Flyte 2, without torch."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jax
import pytest

from ckptptr.errors import StoreUnavailableError
from ckptptr.session.cohort import Cohort
from ckptptr.session.jax_store import store_of_jax
from tests.frameworks.test_cohort import Launch, check_that_ranks_agree
from tests.frameworks.test_flyte2_clustered import agreed, jobset, notes

pytestmark = pytest.mark.timeout(400)

__all__ = ["notes"]  # a fixture


@pytest.fixture
def jaxs() -> Iterator[None]:
    """`jax.distributed`, whose service keeps a store."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    jax.distributed.initialize(f"localhost:{port}", 1, 0, cluster_detection_method="deactivate")
    yield
    jax.distributed.shutdown()


@pytest.mark.usefixtures("jaxs")
def test_ranks_agree_by_the_store_of_jax() -> None:
    check_that_ranks_agree(Launch(0, "run"))


@pytest.mark.usefixtures("jaxs")
def test_a_rank_that_does_not_hear_from_the_others_in_time_says_so() -> None:
    waiting = Cohort("round", store_of_jax(timedelta(seconds=0.2)), "run")
    assert waiting._store is not None
    waiting._store().add(f"{waiting._key('attempt')}/asked", 1)  # by a rank that has died since
    with pytest.raises(StoreUnavailableError, match="no other rank has said the number of this attempt"):
        waiting.attempt(lambda: 1)


def test_when_a_jobset_restarts_all_processes_of_jax_resume_from_their_own_home(notes: Path) -> None:
    of = jobset(notes, "jax", pods=2)
    failed = of.start(0)
    assert 0 not in [pod.exit_code for pod in failed], failed[0].log
    last = of.start(1)
    assert last[0].outputs == {"o0": "trained"}, last[0].log
    agreed(notes)
