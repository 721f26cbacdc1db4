"""After many attempts, and with an attempt of any number: what exists is listed, nothing is enumerated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import node_at
from ckptptr.nodes.seed import seed_of
from ckptptr.protocol.node import WALK, Node
from ckptptr.protocol.pointer import Pointer
from ckptptr.protocol.retention import Retention
from ckptptr.standalone import Checkpoints
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Entry, folders_of
from ckptptr.testing import FaultyStore
from tests.helpers import FLYTE, PLAIN, World

DATE = 20261128


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests of all that is opened, each by its name."""
    said: list[str] = []

    class Said(FaultyStore):
        def _start(self, op: str, *arguments: Any, **settings: Any) -> Any:
            said.append(op)
            return super()._start(op, *arguments, **settings)

    opened = ckptptr.standalone.open_store

    def open_store(*arguments: Any, **options: Any) -> Any:
        store, key = opened(*arguments, **options)
        return Said(store), key

    monkeypatch.setattr("ckptptr.standalone.open_store", open_store)
    return said


def one_run(url: Path, into: Path, retention: Retention | None = None) -> None:
    """What a cron job does: open, restore, save."""
    with ckptptr.open(url, retention=retention) as checkpoints:
        checkpoints.restore(into)
        checkpoints.save(b"%d" % checkpoints.attempt, step=checkpoints.attempt)
        checkpoints.wait()


@pytest.mark.parametrize("retention", [None, Retention(keep_every=1)], ids=["usual", "keeps one of each run"])
def test_a_run_costs_the_same_requests_after_any_number_of_runs(
    tmp_path: Path, log: list[str], retention: Retention | None
) -> None:
    counted = {}
    for number in range(60):
        log.clear()
        one_run(tmp_path / "run", tmp_path / str(number), retention)
        counted[number] = Counter(log)
        assert (tmp_path / str(number)).exists() == (number > 0)
    assert counted[20] == counted[40] == counted[59]
    assert counted[59].total() < 40


class KeepsFolders(FaultyStore):
    """It lists a folder for ever, as SeaweedFS does, once something was written there."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.keys: set[str] = set()

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        self.keys.add(key)
        return super().upload(key, blocks)

    def folders(self, folder: str) -> Sequence[str]:
        super().folders(folder)
        ever = (Entry(key, 0) for key in self.keys if key.startswith(f"{folder}/"))
        return folders_of(ever, folder)


@pytest.mark.parametrize("url", [f"memory://{FLYTE}", "memory://bucket/run"], ids=["in Flyte", "outside"])
def test_folders_that_stay_when_they_are_empty_make_no_later_attempt_send_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, counted, listed = KeepsFolders(), [], []
    monkeypatch.setattr("ckptptr.standalone.open_store", lambda *_, **__: (store, url.partition("//")[2]))
    for number in range(50):
        store.log.clear()
        with ckptptr.open(url, attempt=number) as checkpoints:
            checkpoints.restore()
            checkpoints.save(b"%d" % number, step=number)
        counted.append(Counter(request.op for request in store.log))
        listed.append(len([*store.inner.list("bucket")]))
    assert counted[30] == counted[40] == counted[49]
    assert listed[30] == listed[40] == listed[49]


def test_the_claims_of_earlier_attempts_are_listed_only_where_the_next_number_is_taken(
    tmp_path: Path, log: list[str]
) -> None:
    def claims() -> list[str]:
        log.clear()
        with ckptptr.open(tmp_path / "run") as checkpoints:
            attempts.append(checkpoints.attempt)
        return log[:]

    attempts: list[int] = []
    one_run(tmp_path / "run", tmp_path / "0")
    assert claims() == ["read", "create"]
    # The one before claimed a number, and saved nothing.
    assert claims() == ["read", "create", "read", "list", "create"]
    assert attempts == [1, 2]


def test_a_date_is_a_number_of_an_attempt(tmp_path: Path, log: list[str]) -> None:
    for number in (DATE, DATE + 1):
        with ckptptr.open(tmp_path / "run", attempt=number) as checkpoints:
            assert (checkpoints.restore(tmp_path / str(number)) is not None) == (number > DATE)
            checkpoints.save(b"%d" % number, step=1)
    assert len(log) < 80
    assert [entry.attempt for entry in history(tmp_path)] == [DATE + 1, DATE]


def test_a_walk_back_finds_a_date_before_a_date(tmp_path: Path, log: list[str]) -> None:
    with ckptptr.open(tmp_path / "run", attempt=DATE) as checkpoints:
        checkpoints.save(b"1", step=1)
    (tmp_path / "run" / "LATEST").unlink()
    log.clear()
    with ckptptr.open(tmp_path / "run", attempt=DATE + 10_000) as checkpoints:
        checkpoints.restore(tmp_path / "out")
        checkpoints.save(b"2", step=2)
    assert (tmp_path / "out").exists()
    assert [entry.step for entry in history(tmp_path)] == [2, 1]
    assert len(log) < 80


def history(tmp_path: Path) -> list[ckptptr.Checkpoint]:
    with ckptptr.open(tmp_path / "run", read_only=True) as checkpoints:
        return checkpoints.history()


def test_a_number_of_more_than_18_digits_is_refused(tmp_path: Path) -> None:
    for number in (10**18, 10**5000):
        with pytest.raises(ckptptr.InvalidArgumentError, match="more than 18 digits"):
            ckptptr.open(tmp_path, attempt=number)
    assert ckptptr.open(tmp_path, attempt=10**18 - 1).attempt == 10**18 - 1


def fenced(world: World, fence: int) -> None:
    """A LATEST of a run, with another fence."""
    pointer = world.latest()
    fields = {name: getattr(pointer, name) for name in pointer.__struct_fields__}
    world.write(Pointer(**{**fields, "fence": fence}).encode())


@pytest.mark.parametrize("fence", [10**9, 10**18 - 2])
def test_a_fence_of_any_height_costs_nothing(world: World, fence: int) -> None:
    world.process(0).save({"model": "1"}, step=1)
    fenced(world, fence)
    node = node_at(world.store, world.key, attempt=None, read_only=True)
    assert node.attempt == fence + 1
    reader = Checkpoints(world.process(node.attempt).checkpoints._session, read_only=True)
    assert reader.restore(world.new_folder()) is not None
    assert [entry.step for entry in reader.history()] == [1]
    assert len(node.own_homes(world.store)) <= 2 * 2 * WALK + 1


@pytest.mark.parametrize("fence", [10**9, 10**18 - 2])
def test_a_seed_with_a_fence_of_any_height_is_searched(world: World, fence: int) -> None:
    saved = world.process(0).save({"model": "1"}, step=1)
    fenced(world, fence)
    fenced(world, fence)
    (origin,) = seed_of(world.store, world.node(0).root, world.store.url(world.key))
    homes = list(origin.homes(world.store, fence))
    assert len(homes) <= 2 * 2 * WALK
    assert world.home_of(0) in homes
    assert saved.reference.startswith(world.node(0).root.ref(world.home_of(0)))


def test_all_of_a_thousand_attempts_are_walked_in_flyte_and_of_more_the_nearest_and_the_first() -> None:
    homes_of = NodePrefix.parse(f"s3://{FLYTE}").homes_of  # type: ignore[union-attr]

    def attempts(attempt: int) -> list[int]:
        node = Node(None, FLYTE, attempt, "home", homes_of)  # type: ignore[arg-type]
        numbers = {home: n for n in range(5000) for home in homes_of(n)}
        return list(dict.fromkeys(numbers[home] for home in node.earlier_homes(None)))  # type: ignore[arg-type]

    assert attempts(1000) == [*range(999, -1, -1)]
    assert attempts(4000) == [*range(3999, 3499, -1), *range(499, -1, -1)]


def test_a_folder_beside_the_homes_is_none_of_them(tmp_path: Path) -> None:
    world = World(tmp_path, PLAIN)
    world.process(2).save({"model": "1"}, step=1)
    (entry,) = world.find("manifests")
    for name in ("02", "two", "9" * 5000, "-1", "\u0662"):
        world.store.create(entry.replace("/attempts/2/", f"/attempts/{name}/"), b"x")
    world.delete_latest()
    assert node_at(world.store, world.key, attempt=None, read_only=True).attempt == 3
    assert world.process(9).restore() == {"model": "1"}
