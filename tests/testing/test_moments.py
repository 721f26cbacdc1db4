"""Each moment of a save, in one process: where exactly it strikes, and what is there then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ckptptr.errors import CkptptrError, StoreUnavailableError
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee
from ckptptr.testing import Fault, FaultyStore, Killed
from ckptptr.testing.deaths import Death, after_save, at_byte, before_save, in_save, lost_network
from tests.helpers import LAYOUTS, Process, World

FILES = {"a": "1234", "b": "5678"}


@pytest.fixture(params=LAYOUTS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(tmp_path, request.param)


@pytest.fixture(params=[*LAYOUTS, Guarantee.LAST_WRITER_WINS])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """Where the last writer wins, manifests and LATEST are uploads."""
    kind = request.param
    return World(tmp_path, guarantee=kind) if isinstance(kind, Guarantee) else World(tmp_path, kind)


def dying(world: World, death: Death, attempt: int = 0) -> Process:
    assert death.fault is not None
    return world.process(attempt, death.fault)


def save_until_death(process: Process, saves: int = 5) -> None:
    def save(step: int) -> None:
        process.save({name: f"{text}{step}" for name, text in FILES.items()}, step=step)

    with pytest.raises(Killed):
        list(map(save, range(1, saves + 1)))


@pytest.mark.parametrize("number", [1, 3])
def test_after_a_save_latest_names_it_and_nothing_newer_is_there(any_world: World, number: int) -> None:
    save_until_death(dying(any_world, after_save(number)))
    assert any_world.latest().target.step == number
    assert len(any_world.find(r"/data/.*/a$")) == len(any_world.find(r"\.json$")) == number


@pytest.mark.parametrize("number", [1, 3])
def test_before_a_save_nothing_of_it_is_there(any_world: World, number: int) -> None:
    save_until_death(dying(any_world, before_save(number)))
    assert len(any_world.find(r"/data/.*/a$")) == number - 1


@pytest.mark.parametrize("number", [1, 3])
def test_in_a_save_its_payload_is_there_and_its_manifest_is_not(any_world: World, number: int) -> None:
    save_until_death(dying(any_world, in_save(number)))
    assert len(any_world.find(r"/data/.*/[ab]$")) == 2 * number
    assert len(any_world.find(r"\.json$")) == number - 1


def test_saves_are_counted_in_the_attempt_and_neither_adopts_nor_forward_copies_are_saves(
    world: World,
) -> None:
    world.process(0).save(FILES, step=1)
    world.delete_latest()
    process = dying(world, after_save(2), attempt=2)
    assert process.restore() == FILES  # adopts, and copies forward
    save_until_death(process)
    assert world.latest().target.seq == 3


def test_a_save_that_only_refers_to_what_is_there_is_counted_too(world: World) -> None:
    process = dying(world, after_save(2))
    process.save(FILES)
    with pytest.raises(Killed):
        process.save(FILES)


def test_after_a_save_is_after_the_swap_that_was_won(world: World) -> None:
    """A person pins something just then: the lost swap is not what the death waits for."""
    first = world.process(0).save(FILES, step=1)
    process = dying(world, after_save(1))
    process.before("replace", "LATEST", lambda: world.person().pin(first.reference))
    with pytest.raises(Killed):
        process.save(FILES, step=2)
    assert world.latest().target.step == 2
    assert [target.pinned for target in world.latest().retained] == [False, True]


class Counting(MemoryStore):
    """Counts the payload that arrives, also of uploads that break off."""

    def __init__(self, block_size: int) -> None:
        super().__init__(block_size=block_size)
        self.arrived = 0

    def upload(self, key: str, blocks: object) -> bool:
        def counted() -> object:
            for block in blocks:  # type: ignore[attr-defined]
                self.arrived += len(block)
                yield block

        return super().upload(key, counted())  # type: ignore[arg-type]


KEY = "home/data/0000000001-a0000-abcdef/{}"


@pytest.mark.parametrize("byte", [0, 1, 3, 4, 7, 8, 9, 16, 24])
@pytest.mark.parametrize("block", [4, 8])
def test_a_byte_is_counted_over_all_files_of_a_save(byte: int, block: int) -> None:
    inner = Counting(block)
    store = FaultyStore(inner, [at_byte(byte, of_save=1).fault or Fault()])
    blocks = [b"12345678"[at : at + block] for at in range(0, 8, block)]
    with pytest.raises(Killed):
        [store.upload(KEY.format(name), blocks) for name in "abc"]
    assert inner.arrived == byte


def test_a_byte_beyond_the_payload_is_never_reached() -> None:
    store = FaultyStore(MemoryStore(), [at_byte(9, of_save=1).fault or Fault()])
    for name in "ab":
        store.upload(KEY.format(name), [b"1234"])
    assert len(list(store.list("home"))) == 2


def test_the_bytes_of_another_save_do_not_count() -> None:
    store = FaultyStore(MemoryStore(), [at_byte(3, of_save=2).fault or Fault()])
    store.upload(KEY.format("a"), [b"1234"])
    with pytest.raises(Killed):
        store.upload(KEY.replace("0001-", "0002-").format("a"), [b"1234"])


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_a_sigterm_is_sent_once_and_the_request_goes_on(when: str) -> None:
    told: list[str] = []
    inner = MemoryStore(block_size=2)
    store = FaultyStore(inner, [Fault("term", when)], on_term=lambda: told.append("term"))  # type: ignore[arg-type]
    store.upload("a", [b"12", b"34"])
    store.upload("b", [b"12"])
    assert told == ["term"]
    assert inner.read("a")[0] == b"1234"


def test_a_sigterm_at_a_byte_keeps_the_blocks_whole_and_comes_once() -> None:
    """A store may insist on blocks of one size."""
    told: list[int] = []
    sizes: list[int] = []

    class Strict(MemoryStore):
        def upload(self, key: str, blocks: object) -> bool:
            return super().upload(key, [sizes.append(len(block)) or block for block in blocks])  # type: ignore

    fault = Fault("term", "during", "upload", byte=3, times=None)
    store = FaultyStore(Strict(), [fault], on_term=lambda: told.append(len(sizes)))
    store.upload("a", [b"12", b"34", b"56"])
    store.upload("b", [b"12"])
    assert sizes == [2, 2, 2, 2]
    assert told == [2]


LOST = [before_save(2), in_save(2), after_save(2), at_byte(3, of_save=2)]


@pytest.mark.parametrize("moment", LOST, ids=str)
def test_a_lost_network_answers_nothing_any_more_whatever_is_asked(world: World, moment: Death) -> None:
    process = dying(world, lost_network(moment))
    process.save({"a": "1"}, step=1)
    outcomes = [_fails(lambda step=step: process.save({"a": f"1234{step}"}, step=step)) for step in (2, 3)]
    assert outcomes == [moment != after_save(2), True]
    for request in (process.store.read, process.store.list, lambda key: process.store.delete([key])):
        with pytest.raises(StoreUnavailableError):
            request("bucket/x")
    assert world.latest().target.step == (2 if moment == after_save(2) else 1)


@pytest.mark.parametrize("lost", [1, 3])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_network_can_come_back_after_so_many_requests(when: str, lost: int) -> None:
    store = FaultyStore(MemoryStore(), [Fault("cut", when, key="b", times=lost)])  # type: ignore[arg-type]
    outcomes = [_fails(lambda key=key: store.create(key, b"")) for key in "abcdefg"]
    first = 1 if when == "before" else 2
    assert [place for place, failed in enumerate(outcomes) if failed] == [*range(first, first + lost)]


def _fails(act: Callable[[], object]) -> bool:
    try:
        act()
    except CkptptrError:
        return True
    return False
