"""A clean that is killed at any request, and an attempt that begins at any request."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count

import pytest

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.inspect.base import Base
from ckptptr.inspect.over import Over, delete, look, rules_now
from ckptptr.inspect.target import NothingThereError
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.names import CheckpointId, pin_key
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.around import Around
from ckptptr.testing import Fault, FaultyStore
from ckptptr.testing.faults import Killed
from tests.sampling import sampled

PREFIX = NodePrefix(root="b/data", project="p", domain="d", execution="e", node="n0")
DAY = 86400.0
KINDS = ["all", "keep latest", "pinned"]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)


def attempt(store: Store, number: int, *steps: int) -> int | None:
    """It restores, and saves; the step that it resumed from."""
    node = node_at(store, PREFIX.prefix, attempt=number, read_only=False)
    with Checkpoints(Session(store, node)) as run:
        run.restore()
        found = run.resolution.found if run.resolution else None
        for step in steps:
            run.save(b"state %d" % step, step=step)
    return found.manifest.step if found and found.manifest else None


def old_store(kind: str) -> MemoryStore:
    """Two attempts, the second with a torn save; all is 40 days old."""
    store = MemoryStore()
    attempt(store, 0, 1, 2)
    attempt(store, 1, 3, 4)
    store.create(f"{PREFIX.homes_of(1)[0]}/data/0000000009-a0001-abcdefgh/model.pt", b"x" * 10)
    if kind == "pinned":
        (second,) = (e.key for e in store.list(PREFIX.homes_of(0)[0]) if "manifests/0000000002" in e.key)
        checkpoint = CheckpointId.parse(second.rpartition("/")[2].removesuffix(".json"))
        store.create(pin_key(PREFIX.homes_of(0)[0], checkpoint), b"{}")
    store._objects = {key: (*it[:2], it[2] - 40 * DAY) for key, it in store._objects.items()}
    return store


def copy_of(store: MemoryStore) -> MemoryStore:
    copied = MemoryStore()
    copied._objects = dict(store._objects)
    return copied


def clean(store: Store, kind: str, started: Callable[[], object] = lambda: None) -> list[Over]:
    """Look, and delete; `started` is called between the two."""
    base = Base(patient=store, clock=SystemClock(), options={}, key="b/data", inside="")
    before, keep_latest = time.time() - 30 * DAY, kind == "keep latest"
    try:
        found = look(base, before, keep_latest=keep_latest, tell=lambda _: None)
        rules = rules_now(base, before, keep_latest=keep_latest)
    except NothingThereError:
        return []
    started()
    wanted = [over for over in found if not (over.is_moving or over.why_not)]
    return [delete(base, over, rules, lambda _: None) for over in wanted]


def kept(kind: str) -> int | None:
    return {"all": None, "keep latest": 4, "pinned": 2}[kind]


def requests(kind: str) -> int:
    """How many a clean sends."""
    clean(faulty := FaultyStore(old_store(kind)), kind)
    return len(faulty.log)


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize("kind", sampled(KINDS))
def test_killed_at_any_request_it_leaves_nothing_damaged_and_the_next_clean_ends_it(
    kind: str, when: str
) -> None:
    whole = old_store(kind)
    for number in range(1, requests(kind) + 1):
        store = copy_of(whole)
        fault = Fault("kill", when=when, nth=number, op="delete" if when == "during" else None)
        try:
            clean(FaultyStore(store, [fault]), kind)
        except Killed:
            pass
        else:
            assert when == "during"  # fewer deletions than requests
            break
        rest = copy_of(store)
        assert attempt(rest, 2, 9) in {4, kept(kind)}
        assert attempt(rest, 3) == 9
        base = Base(patient=store, clock=SystemClock(), options={}, key="b/data", inside="")
        if any(key.endswith("/LATEST") for key in store._objects):
            assert base.is_followed(PREFIX.prefix, base.seen(PREFIX.prefix))
        clean(store, kind)
        there = [key for key in store._objects if not key.endswith("/LATEST")]
        if kind == "all":
            assert store._objects == {}
        else:
            assert len(there) == (3 if kind == "pinned" else 2)
            assert attempt(store, 2) == kept(kind)


class Waking(Around):
    """Does something at one request."""

    def __init__(self, store: Store, number: int, wake_up: Callable[[], object]) -> None:
        super().__init__(store)
        self.left, self.wake_up = number, wake_up

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.wake_up()

    def read(self, key: str, limit: int | None = None):  # type: ignore[no-untyped-def]
        self._count()
        return super().read(key, limit)

    def replace(self, key, body, token):  # type: ignore[no-untyped-def]
        self._count()
        return super().replace(key, body, token)

    def list(self, folder: str):  # type: ignore[no-untyped-def]
        self._count()
        return super().list(folder)

    def delete(self, keys):  # type: ignore[no-untyped-def]
        self._count()
        super().delete(keys)


@pytest.mark.parametrize("begins", [1, 2], ids=["in place", "the next"])
@pytest.mark.parametrize("kind", sampled(KINDS))
def test_what_an_attempt_saves_that_begins_at_any_request_stays(kind: str, begins: int) -> None:
    whole = old_store(kind)
    for number in range(1, requests(kind) + 1):
        store = copy_of(whole)
        resumed: list[int | None] = []
        waking = Waking(store, number, lambda: resumed.append(attempt(store, begins, 9)))  # noqa: B023
        clean(waking, kind)
        if not resumed:
            break
        assert resumed[0] in {4, kept(kind)}
        assert attempt(store, 3) == 9


def test_also_where_a_clean_that_was_interrupted_goes_on() -> None:
    whole = old_store("all")
    with pytest.raises(Killed):
        clean(FaultyStore(whole, [Fault("kill", when="during", nth=1, op="delete")]), "all")
    for number in range(1, requests("all") + 1):
        store = copy_of(whole)
        resumed: list[int | None] = []
        clean(Waking(store, number, lambda: resumed.append(attempt(store, 1, 9))), "all")  # noqa: B023
        if not resumed:
            break
        assert attempt(store, 3) == 9


def test_a_person_who_holds_latest_meanwhile_keeps_the_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptptr.protocol.clean.EXPIRED_LIMIT", 1)
    whole = old_store("keep latest")
    node = node_at(whole, PREFIX.prefix, attempt=2, read_only=False)
    for number in count(1):
        store, held = copy_of(whole), list[object]()
        latest = Latest(store, PREFIX.prefix, SystemClock(), "person")
        person = Chooser(store, node, latest, SystemClock())
        clean(Waking(store, number, lambda: held.append(person.use("none"))), "keep latest")  # noqa: B023
        if not held:
            break
        assert latest.read().is_held


@pytest.mark.parametrize("kind", sampled(KINDS))
def test_an_attempt_that_restored_before_saves_after_it(kind: str) -> None:
    store = old_store(kind)
    node = node_at(store, PREFIX.prefix, attempt=2, read_only=False)
    with Checkpoints(Session(store, node)) as run:
        run.restore()
        clean(store, kind)
        run.save(b"state 9", step=9)
    assert attempt(store, 3) == 9
