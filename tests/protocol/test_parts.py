"""Parts: one checkpoint that several ranks make together; in one thread: others act while one waits."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from ckptptr.clock import SystemClock
from ckptptr.errors import (
    ConflictError,
    DamagedError,
    IncompleteError,
    InvalidArgumentError,
    StoreUnavailableError,
    SupersededError,
)
from ckptptr.protocol.retention import Retention
from ckptptr.session.save import Saver
from ckptptr.testing.faults import Fault, Killed
from tests.helpers import LAYOUTS, Content, FakeClock, Meanwhile, Paused, Process, World


class Ranks:
    """The ranks of one round, each a process."""

    def __init__(
        self, world: World, count: int, *, attempt: int = 0, round_: str = "r1", **options: Any
    ) -> None:
        self.world, self.count = world, count
        self.processes = [
            Process(world, world.node(attempt), incarnation=round_, **options) for _ in range(count)
        ]

    def save(self, rank: int, content: Content, *, step: int, deadline: float = 600, **metadata: Any) -> Any:
        parts = self.processes[rank].checkpoints.parts(rank, self.count, deadline=deadline)
        return parts.save(self.world.folder(content), step=step, metadata=metadata)

    def save_all(self, step: int, text: str = "") -> list[Any]:
        """All ranks save, one while the one before waits; what each got."""
        got: list[Any] = []

        def save(rank: int) -> None:
            if rank + 1 < self.count:
                self.world.clock.acts.append(lambda: save(rank + 1))
            got.append(self.save(rank, {f"rank{rank}": f"{rank} at {step}{text}"}, step=step))

        save(0)
        return got


@pytest.fixture(params=LAYOUTS, ids=["plain", "flyte"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    world = World(tmp_path, request.param)
    world.clock = Meanwhile()
    return world


def step_of(step: int, count: int = 3) -> dict[str, str]:
    return {f"rank{rank}": f"{rank} at {step}" for rank in range(count)}


def test_the_parts_of_all_ranks_are_one_checkpoint_that_each_of_them_gets(world: World) -> None:
    got = Ranks(world, 3).save_all(10)
    assert len({checkpoint.reference for checkpoint in got}) == 1
    assert world.steps() == [10]
    assert world.process(1).restore() == step_of(10)
    assert got[0].bytes == sum(map(len, step_of(10).values()))


def test_a_set_is_newer_than_what_a_rank_had_saved_alone_before(world: World) -> None:
    ranks = Ranks(world, 2)
    ranks.save_all(1)
    for step in (2, 3, 4):
        ranks.processes[1].save_file("notes", str(step), step=step)
    ranks.save_all(5)
    assert world.steps()[0] == 5
    assert world.process(1).restore() == step_of(5, 2)


def test_later_sets_build_a_history_and_retention_deletes_all_of_the_first(world: World) -> None:
    ranks = Ranks(world, 2, retention=Retention(keep_last=1))
    for step in range(4):
        ranks.save_all(step)
    assert world.steps() == [3]
    assert world.process(1).restore() == step_of(3, 2)
    records = world.find(r"/\.sets/")
    assert len(records) == 4 * 2, records  # of the one that is named, and of the one that expired last
    assert world.strays() == [key for key in world.strays() if "0000000003" in key]


def test_a_set_that_is_not_complete_is_an_error_that_names_who_is_missing(world: World) -> None:
    ranks = Ranks(world, 3)
    ranks.save_all(1)
    with pytest.raises(IncompleteError, match=r"step 2 is not complete after 5 s: of 3 ranks 2 .* \(1, 2\)"):
        ranks.save(0, {"rank0": "0 at 2"}, step=2, deadline=5)
    assert world.process(1).restore() == step_of(1)


def test_the_same_save_waits_again_and_another_content_is_refused(world: World) -> None:
    ranks = Ranks(world, 2)
    for _ in range(2):
        with pytest.raises(IncompleteError):
            ranks.save(0, {"rank0": "0 at 2"}, step=2, deadline=5)
    with pytest.raises(InvalidArgumentError, match="rank 0 has saved something else for step 2"):
        ranks.save(0, {"rank0": "another"}, step=2)
    ranks.save(1, {"rank1": "1 at 2"}, step=2)
    assert world.process(1).restore() == step_of(2, 2)


def test_what_two_ranks_save_under_one_path_is_one_file_or_an_error_that_names_both(world: World) -> None:
    ranks = Ranks(world, 2)
    world.clock.acts.append(lambda: ranks.save(1, {"rank1": "1", "config": "same"}, step=1))
    ranks.save(0, {"rank0": "0", "config": "same"}, step=1)
    assert world.process(1).restore() == {"rank0": "0", "rank1": "1", "config": "same"}

    def other() -> None:
        with pytest.raises(ConflictError, match=r"ranks 0 and 1 .*config"):
            ranks.save(1, {"config": "other"}, step=2)

    world.clock.acts.append(other)
    with pytest.raises(ConflictError, match=r"ranks 0 and 1 .*config.*Put the rank into the names"):
        ranks.save(0, {"config": "one"}, step=2)
    assert world.steps() == [1]


def test_of_metadata_the_lowest_rank_counts_and_a_rank_may_have_no_file(world: World) -> None:
    ranks = Ranks(world, 2)
    world.clock.acts.append(lambda: ranks.save(1, {}, step=1, loss=9, only=1))
    got = ranks.save(0, {"rank0": "0"}, step=1, loss=3)
    assert world.manifest(got.reference).metadata == {"loss": 3, "only": 1}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_dies_at_any_request_costs_no_confirmed_step_and_the_next_round_goes_on(
    world: World, rank: int, when: Any
) -> None:
    nth = 0
    while True:
        nth += 1
        place = world.fork()
        place.clock = Meanwhile()
        ranks = Ranks(place, 2)
        ranks.save_all(1)
        dying = ranks.processes[rank]
        dying.fail(Fault("kill", when, nth=nth))

        def save(which: int, ranks: Ranks = ranks) -> None:
            with suppress(Killed, IncompleteError):
                ranks.save(which, {f"rank{which}": f"{which} at 2"}, step=2, deadline=30)

        place.clock.acts.append(lambda save=save: save(1 - rank))  # type: ignore[misc]
        save(rank)
        save(1 - rank)
        place.clock.acts.clear()
        was_killed = len(dying.store.log) >= nth
        confirmed = 2 if 2 in place.steps() else 1
        assert Ranks(place, 2, attempt=1, round_="r2").processes[0].restore() == step_of(confirmed, 2)
        again = Ranks(place, 2, attempt=2, round_="r3")
        again.save_all(3)
        again.save_all(4)
        assert place.process(3).restore() == step_of(4, 2)
        if not was_killed:
            assert confirmed == 2
            break
    assert nth > 5


@pytest.mark.parametrize("op", ["create", "replace", "upload", "list", "read"])
def test_a_reply_that_is_lost_anywhere_is_made_good(world: World, op: Any) -> None:
    for nth in range(1, 8):
        place = world.fork()
        place.clock = Meanwhile()
        ranks = Ranks(place, 2)
        ranks.save_all(1)
        for process in ranks.processes:
            process.fail(Fault("fail", "after", op=op, nth=nth))

        def save(rank: int, ranks: Ranks = ranks) -> None:
            try:
                ranks.save(rank, {f"rank{rank}": f"{rank} at 2"}, step=2)
            except StoreUnavailableError:  # an upload is not sent twice by itself
                ranks.save(rank, {f"rank{rank}": f"{rank} at 2"}, step=2)

        ranks.processes[0].after("create", "/0-of-2", lambda save=save: save(1))  # type: ignore[misc]
        save(0)
        assert place.process(1).restore() == step_of(2, 2)


def test_a_set_that_the_last_writer_did_not_commit_is_committed_by_one_that_waits(world: World) -> None:
    ranks = Ranks(world, 2)
    ranks.processes[1].fail(Fault("kill", "before", op="create", key="/manifests/"))

    def dies() -> None:
        with pytest.raises(Killed):
            ranks.save(1, {"rank1": "1 at 1"}, step=1)

    world.clock.acts.append(dies)
    ranks.save(0, {"rank0": "0 at 1"}, step=1)
    assert world.process(1).restore() == step_of(1, 2)


def test_a_straggler_of_an_earlier_round_completes_and_delays_nothing_newer(world: World) -> None:
    old, new = Ranks(world, 2, round_="r1"), Ranks(world, 2, round_="r2")
    with pytest.raises(IncompleteError):
        old.save(0, {"rank0": "old"}, step=5, deadline=1)
    new.save_all(5)
    with pytest.raises((IncompleteError, SupersededError)):
        old.save(1, {"rank1": "old"}, step=6, deadline=1)
    assert world.process(1).restore() == step_of(5, 2)


def test_a_process_that_takes_a_rank_of_a_round_again_never_overwrites_what_is_recorded(world: World) -> None:
    Ranks(world, 1).save_all(1)
    again = Ranks(world, 1)
    with pytest.raises(InvalidArgumentError, match="has saved something else for step 1"):
        again.save(0, {"rank0": "other"}, step=1)
    assert world.process(1).restore() == step_of(1, 1)


def test_another_world_size_is_another_set(world: World) -> None:
    two = Ranks(world, 2)
    with pytest.raises(IncompleteError):
        two.save(0, {"rank0": "of two"}, step=5, deadline=1)
    three = Ranks(world, 3)
    three.save_all(5)
    assert world.process(1).restore() == step_of(5)


def test_a_set_whose_round_lives_is_never_an_orphan_and_one_of_a_dead_round_is(world: World) -> None:
    ranks = Ranks(world, 2, retention=Retention(keep_last=1))
    with pytest.raises(IncompleteError):
        ranks.save(0, {"rank0": "0 at 1"}, step=1, deadline=1)
    for step in range(2, 60):  # a plain save of a rank in between, and more than one search for orphans
        ranks.processes[0].save({"whole": str(step)}, step=step)
    assert len(world.find(r"/\.sets/")) == 2
    with pytest.raises(IncompleteError):
        ranks.save(1, {"rank1": "1 at 1"}, step=0, deadline=1)
    later = Ranks(world, 2, attempt=1, round_="r2")
    for step in range(60, 64):
        later.save_all(step)
    assert world.find(rf"{world.home_of(0)}/data/\.sets/") == []
    assert world.find(r"rank0$") == [key for key in world.find("rank0$") if world.home_of(1) in key]


def test_the_record_of_a_set_alone_is_no_plain_checkpoint(world: World) -> None:
    ranks = Ranks(world, 2)
    ranks.processes[0].fail(Fault("kill", "after", op="create", key="sets"))
    with pytest.raises(Killed):
        ranks.save(0, {"rank0": "0 at 1"}, step=1)
    assert world.process(1).restore() is None


def test_the_record_of_a_set_of_which_nothing_was_uploaded_is_deleted_too(world: World) -> None:
    ranks = Ranks(world, 2)
    ranks.processes[0].fail(Fault("kill", "after", op="create", key="sets"))
    with pytest.raises(Killed):
        ranks.save(0, {"rank0": "0 at 1"}, step=1)
    assert len(world.find(r"/\.sets/")) == 1
    later = Ranks(world, 1, attempt=1, round_="r2")
    for step in range(4):
        later.save_all(step)
    assert world.find(rf"{world.home_of(0)}/data/") == []


def test_beside_a_hold_sets_are_committed_and_latest_stays(world: World) -> None:
    ranks = Ranks(world, 2)
    first = ranks.save_all(1)[0].reference
    ranks.save_all(2)
    world.person().use(first, note="look at this")
    ranks.save_all(3)
    assert world.latest().target.checkpoint == first
    assert world.process(1).restore() == step_of(1, 2)
    assert len(world.committed()) >= 3


def test_a_rank_that_comes_late_leaves_what_a_person_has_chosen_since(world: World) -> None:
    ranks = Ranks(world, 2)
    first, second = (ranks.save_all(step)[0].reference for step in (1, 2))
    world.person().use(first, note="look at this")
    world.person().release()
    before = world.latest()
    assert ranks.save(1, {"rank1": "1 at 2"}, step=2).reference == second
    assert world.latest() == before
    assert world.named() == [first, second]


@pytest.fixture
def held(world: World) -> Ranks:
    """Two ranks that keep one checkpoint, of which a person holds the first."""
    ranks = Ranks(world, 2, retention=Retention(keep_last=1))
    world.person().use(ranks.save_all(1)[0].reference, note="look at this")
    return ranks


def test_beside_a_hold_a_set_on_which_another_rank_builds_is_not_deleted(world: World, held: Ranks) -> None:
    of_all = held.save_all(2)[0].reference
    for step in (3, 4, 5):
        held.processes[0].save({"rank0": f"alone at {step}"}, step=step)
    assert of_all in world.committed()
    alone = held.processes[1].save_file("more", "of rank 1", step=6)
    held.save_all(7)
    assert of_all not in world.committed()
    assert world.content(alone.reference) == {**step_of(2, 2), "more": "of rank 1"}


def test_beside_a_hold_a_set_that_is_saved_again_is_not_its_own_successor(world: World, held: Ranks) -> None:
    of_all = held.save_all(2)[0].reference
    assert held.save(1, {"rank1": "1 at 2"}, step=2).reference == of_all
    assert world.content(of_all) == step_of(2, 2)


def test_a_set_that_was_deleted_before_latest_named_it_is_not_confirmed(world: World) -> None:
    ranks = Ranks(world, 1)

    def all_is_deleted() -> None:
        world.store.delete([entry.key for entry in world.store.list(world.home_of(0))])

    ranks.processes[0].after("create", "manifests", all_is_deleted)
    with pytest.raises(ConflictError, match="none is newer"):
        ranks.save_all(1)
    assert world.seen().token is None


def test_a_set_whose_name_was_deleted_before_it_was_committed_is_not_confirmed(world: World) -> None:
    ranks = Ranks(world, 1)
    ranks.processes[0].after(
        "create", "commit-0", lambda: world.store.delete(world.find(r"\.sets/r1/\w+\.json$"))
    )
    with pytest.raises(IncompleteError, match="the parts of step 1 were deleted before LATEST named them"):
        ranks.save(0, {"rank0": "0 at 1"}, step=1, deadline=5)
    assert world.committed() == []


@pytest.mark.parametrize("begins", ["before a sweep", "within a sweep", "long before a sweep"])
def test_a_rank_that_comes_late_never_names_again_what_has_expired(world: World, begins: str) -> None:
    early = Ranks(world, 1, retention=Retention(keep_last=1))
    late = Ranks(world, 1, retention=Retention(keep_last=1), background=Paused())
    first = early.save_all(1)[0].reference
    got: list[str] = []

    def come_late() -> None:
        got.append(late.save_all(1)[0].reference)

    if begins == "long before a sweep":  # and it has read the name of the set by then
        late.processes[0].after("read", ".sets", lambda: [early.save_all(step) for step in (2, 3, 4)])
        come_late()
    else:
        when, key = ("before", "manifests") if begins == "before a sweep" else ("after", "manifests")
        getattr(early.processes[0], when)("delete", key, come_late)
        for step in (2, 3, 4):
            early.save_all(step)
    assert got == [first]
    assert first not in [*world.named(), *world.committed()]
    assert world.process(1).restore() == step_of(4, 1)


@pytest.mark.parametrize("written", ["commit-0", "manifests"])
def test_a_set_that_a_newer_attempt_deleted_before_latest_named_it_is_superseded(
    world: World, written: str
) -> None:
    ranks = Ranks(world, 1)
    ranks.save_all(1)

    def a_newer_attempt_sweeps() -> None:
        newer = world.process(1, retention=Retention(keep_last=1))
        for step in (3, 4, 5):
            newer.save({"whole": "newer"}, step=step)
        assert world.find(f"{world.home_of(0)}/") == []

    ranks.processes[0].after("create", written, a_newer_attempt_sweeps)
    with pytest.raises(SupersededError):
        ranks.save_all(2)


def test_a_newer_attempt_ends_the_wait(world: World) -> None:
    ranks = Ranks(world, 2)
    world.clock.acts.append(lambda: world.process(1).save({"whole": "newer"}, step=9))
    with pytest.raises(SupersededError):
        ranks.save(0, {"rank0": "0 at 1"}, step=1)


def test_for_n_ranks_a_set_costs_two_writes_and_a_listing_each_and_a_few_more(world: World) -> None:
    count = 16
    ranks = Ranks(world, count)
    ranks.save_all(1)
    before = [len(process.store.log) for process in ranks.processes]
    ranks.save_all(2)
    sent = [r.op for p, b in zip(ranks.processes, before, strict=True) for r in p.store.log[b:]]
    assert sent.count("create") == 2 * count + 2
    assert sent.count("replace") == 1
    assert sent.count("upload") == count
    assert sent.count("read") <= 6 * count
    assert count <= sent.count("list") <= count + count // 2


def test_without_a_token_ranks_are_refused_and_a_world_of_one_needs_none(world: World) -> None:
    alone = world.process(0)
    with pytest.raises(InvalidArgumentError, match="share no token"):
        alone.checkpoints.parts(0, 2)
    alone.checkpoints.parts(0, 1).save(world.folder({"a": "1"}), step=1)
    assert world.process(1).restore() == {"a": "1"}


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (None, 2), (0, None), (0, 0), (0, 10**7)])
def test_a_rank_that_cannot_be_is_refused(world: World, rank: Any, size: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="rank"):
        Ranks(world, 1).processes[0].checkpoints.parts(rank, size)


class Counted:
    """A whole number as numpy and torch have it."""

    def __index__(self) -> int:
        return 1


def test_a_step_and_a_rank_may_be_counted_by_numpy(world: World) -> None:
    parts = Ranks(world, 1).processes[0].checkpoints.parts(0, Counted())  # type: ignore[arg-type]
    parts.save(world.folder({"a": "1"}), step=Counted())  # type: ignore[arg-type]
    assert world.steps() == [1]
    with pytest.raises(InvalidArgumentError, match=r"step is 1\.5, not a whole number"):
        parts.save(world.folder({"a": "1"}), step=1.5)  # type: ignore[arg-type]


def test_rank_and_world_size_are_torchruns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    parts = Ranks(world, 1).processes[0].checkpoints.parts()
    assert (parts.rank, parts.world_size) == (1, 4)


def test_in_the_background_no_save_waits_for_the_other_ranks(world: World) -> None:
    world.clock = FakeClock()
    ranks = Ranks(world, 2, round_="r")
    for process in ranks.processes:
        process.checkpoints._session.clock = SystemClock()
    zero, one = (p.checkpoints.parts(rank, 2) for rank, p in enumerate(ranks.processes))
    done = [zero.save(world.folder({"rank0": f"0 at {n}"}), step=n, block=False) for n in range(5)]
    assert not any(future.done() for future in done)
    for n in range(5):
        one.save(world.folder({"rank1": f"1 at {n}"}), step=n)
    ranks.processes[0].checkpoints.wait()
    assert [future.result().step for future in done] == [*range(5)]
    assert world.process(1).restore() == step_of(4, 2)


def test_a_failure_in_the_background_is_raised_by_the_next_call(world: World) -> None:
    world.clock = FakeClock()
    ranks = Ranks(world, 2)
    zero = ranks.processes[0].checkpoints.parts(0, 2, deadline=1)
    failed = zero.save(world.folder({"rank0": "0"}), step=1, block=False)
    assert isinstance(failed.exception(timeout=10), IncompleteError)
    with pytest.raises(IncompleteError):
        ranks.processes[0].checkpoints.wait()
    ranks.processes[0].checkpoints.close()


def test_at_the_end_a_save_in_the_background_is_waited_for_also_where_another_one_has_failed(
    world: World,
) -> None:
    zero, one = Ranks(world, 2).processes
    zero.checkpoints._session.clock = SystemClock()
    done = zero.checkpoints.parts(0, 2).save(world.folder({"rank0": "0"}), step=1, block=False)
    with patch.object(Saver, "save", side_effect=StoreUnavailableError("the store is gone")):
        failed = zero.checkpoints.save(b"state", step=1, block=False)
        assert failed.exception(timeout=10)
    part = world.folder({"rank1": "1"})
    threading.Timer(0.1, lambda: one.checkpoints.parts(1, 2).save(part, step=1)).start()
    with pytest.raises(StoreUnavailableError, match="the store is gone"):
        zero.checkpoints.close()
    assert done.result(timeout=0).step == 1


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"format": "ckptptr/1"}'])
def test_a_damaged_record_is_an_error_that_names_it(world: World, damage: bytes) -> None:
    ranks = Ranks(world, 2)
    with pytest.raises(IncompleteError):
        ranks.save(0, {"rank0": "0"}, step=1, deadline=1)
    (key,) = world.find("/0-of-2")
    world.store.upload(key, [damage])
    with pytest.raises(DamagedError, match="0-of-2"):
        ranks.save(1, {"rank1": "1"}, step=1)
