"""The ranks of one round agree, on a real TCPStore, without waiting for each other."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ckptptr.checkpoints import Checkpoints
from ckptptr.errors import ConflictError, StoreUnavailableError
from ckptptr.nodes.plain import node_at
from ckptptr.session import cohort
from ckptptr.session.cohort import Cohort, incarnation
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore

pytestmark = pytest.mark.filterwarnings("ignore:Failed to initialize NumPy")


@dataclass
class Launch:
    """A launcher, whose store outlives its workers, and the checkpoints of its attempt."""

    port: int
    run: str
    bucket: MemoryStore = field(default_factory=MemoryStore)

    def environ(self, rank: int, *, node: int = 0, restarts: int = 0) -> dict[str, str]:
        """What the agent of that node gives to a worker."""
        return {
            "RANK": str(rank),
            "WORLD_SIZE": "2",
            "GROUP_RANK": str(node),
            "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(self.port),
            "TORCHELASTIC_RUN_ID": self.run,
            "TORCHELASTIC_RESTART_COUNT": str(restarts),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }

    def rank(self, rank: int, **more: int) -> Cohort:
        return Cohort.of(self.environ(rank, **more))

    def checkpoints(self, attempt: int = 0) -> Checkpoints:
        return Checkpoints(
            Session(self.bucket, node_at(self.bucket, "b/run", attempt=attempt, read_only=False))
        )


@pytest.fixture(scope="module")
def agent() -> Any:
    from torch.distributed import TCPStore

    return TCPStore("localhost", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def launch(agent: Any, request: pytest.FixtureRequest) -> Launch:
    return Launch(agent.port, request.node.name)


@pytest.fixture
def group() -> Iterator[None]:
    import torch.distributed as dist

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def restored(ranks: Cohort, checkpoints: Checkpoints, path: Path | None = None) -> bytes | None:
    folder = ranks.restore(
        lambda named: checkpoints.restore(path, checkpoint=named), lambda: checkpoints.resolution
    )
    return None if folder is None else b"".join(file.read_bytes() for file in folder.iterdir())


def test_a_process_that_is_no_rank_of_several_is_in_no_cohort(launch: Launch) -> None:
    assert incarnation({}) is None
    assert incarnation({**launch.environ(0), "WORLD_SIZE": "1"}) is None


def test_the_ranks_of_a_round_share_a_token_and_a_restart_has_another(launch: Launch) -> None:
    first = {launch.rank(rank).token for rank in (0, 1)}
    second = {launch.rank(rank, restarts=1).token for rank in (1, 0)}
    assert len(first) == len(second) == 1
    assert not first & second


def test_a_process_that_a_rank_starts_is_of_its_round(launch: Launch) -> None:
    environ = launch.environ(0)
    token = incarnation(environ)
    assert incarnation(dict(environ)) == token
    assert launch.rank(1).token == token


def test_nodes_that_count_their_restarts_differently_are_still_of_one_round(launch: Launch) -> None:
    """Only the node whose worker failed counts: pytorch#108158."""
    first = {launch.rank(0, node=0).token, launch.rank(1, node=1).token}
    second = {launch.rank(1, node=1, restarts=0).token, launch.rank(0, node=0, restarts=1).token}
    assert len(first) == len(second) == 1
    assert not first & second


def test_a_rank_that_comes_late_restores_what_the_first_did_and_not_what_was_saved_since(
    launch: Launch,
) -> None:
    launch.checkpoints().save(b"old")
    first = launch.checkpoints()
    assert restored(launch.rank(0), first) == b"old"
    first.save(b"new")
    assert restored(launch.rank(1), launch.checkpoints()) == b"old"


def test_after_a_restart_all_resume_from_the_newest(launch: Launch) -> None:
    test_a_rank_that_comes_late_restores_what_the_first_did_and_not_what_was_saved_since(launch)
    for rank in (1, 0):
        assert restored(launch.rank(rank, restarts=1), launch.checkpoints()) == b"new"


def test_after_a_restart_a_rank_that_had_not_come_before_may_be_the_first(launch: Launch) -> None:
    launch.checkpoints().save(b"old")
    first = launch.checkpoints()
    assert restored(launch.rank(0), first) == b"old"
    first.save(b"new")
    for rank in (1, 0):
        assert restored(launch.rank(rank, restarts=1), launch.checkpoints()) == b"new"


def test_where_the_first_found_nothing_all_start_fresh(launch: Launch) -> None:
    first = launch.checkpoints()
    assert restored(launch.rank(0), first) is None
    first.save(b"step 1")
    late = launch.rank(1)
    assert not late.exists(launch.checkpoints().look)
    assert restored(late, launch.checkpoints()) is None


def test_asking_whether_there_is_something_decides_for_all_that_there_is_nothing(launch: Launch) -> None:
    first = launch.checkpoints()
    assert not launch.rank(0).exists(first.look)
    first.save(b"step 1")
    assert restored(launch.rank(1), launch.checkpoints()) is None


def test_asking_whether_there_is_something_does_not_say_which(launch: Launch) -> None:
    first = launch.checkpoints()
    first.save(b"old")
    asking = launch.rank(0)
    assert asking.exists(first.look)
    assert asking.decided() is None


def test_a_rank_that_loses_the_race_has_only_what_the_winner_restored(launch: Launch, tmp_path: Path) -> None:
    launch.checkpoints().save(b"old")
    winner, loser = launch.checkpoints(), launch.checkpoints()
    file = tmp_path / "only in the new one"
    file.write_bytes(b"new")

    class Overtaken:
        """While it resolves, another rank restores."""

        resolution = property(lambda _: loser.resolution)

        def restore(self, path: Path, checkpoint: str | None = None) -> Path | None:
            if checkpoint is None:
                assert restored(launch.rank(0), winner) == b"old"
                winner.save(file)
            return loser.restore(path, checkpoint=checkpoint)

    assert restored(launch.rank(1), Overtaken(), tmp_path / "restored") == b"old"  # type: ignore[arg-type]


def test_a_rank_for_which_nothing_is_left_says_so_and_another_attempt_may_help(launch: Launch) -> None:
    launch.checkpoints().save(b"old")
    first = launch.checkpoints()
    assert restored(launch.rank(0), first) == b"old"
    for step in range(5):
        first.save(f"{step}".encode())
        first.wait()
    with pytest.raises(ConflictError, match="Restore on all ranks before"):
        restored(launch.rank(1), launch.checkpoints())


def test_without_the_agents_store_ranks_find_a_checkpoint_by_themselves_and_are_told_the_remedy(
    launch: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {**launch.environ(1), "TORCHELASTIC_USE_AGENT_STORE": "False"}
    assert incarnation(environ) == ""
    launch.checkpoints().save(b"old")
    with caplog.at_level(logging.WARNING, "ckptptr"):
        assert restored(Cohort.of(environ), launch.checkpoints()) == b"old"
    assert "restore(checkpoint=...)" in caplog.text


@pytest.mark.usefixtures("group")
def test_without_the_agents_store_that_of_the_process_group_will_do(launch: Launch) -> None:
    check_that_ranks_agree(launch)


def check_that_ranks_agree(launch: Launch) -> None:
    """Without the agent's store, by what else this process has."""
    environs = [{"RANK": str(rank), "WORLD_SIZE": "2"} for rank in (0, 1)]
    ranks = [Cohort.of(environ) for environ in environs]
    first = launch.checkpoints()
    assert ranks[0].decided() is None
    assert restored(ranks[0], first) is None
    first.save(b"step 1")
    assert restored(ranks[1], launch.checkpoints()) is None
    assert ranks[0].token == ranks[1].token != ""
    opened = [Cohort.at("memory://b/run", environ) for environ in (*environs, *environs)]
    claims = iter((7, 8))
    assert [of.attempt(lambda: next(claims)) for of in opened] == [7, 7, 8, 8]


def test_a_store_that_cannot_be_reached_is_asked_once_and_costs_a_warning(
    launch: Launch, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {**launch.environ(0), "MASTER_PORT": "1"}
    with caplog.at_level(logging.WARNING, "ckptptr"):
        assert [incarnation(environ), incarnation(environ)] == ["", ""]
    assert caplog.text.count("tcp://localhost:1") == 1


def test_a_store_that_went_away_after_the_ranks_had_agreed_is_an_error(launch: Launch) -> None:
    """The launcher is gone: to go on with another checkpoint than the others would be worse."""
    lost = cohort._Agent("localhost", 1, launch.run, "0", "0", "0")
    with pytest.raises(StoreUnavailableError):
        restored(Cohort("token", lost.store), launch.checkpoints())
