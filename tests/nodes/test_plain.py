"""`ckptptr.open`: which attempt we are, what may be named, and that a reader writes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import (
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import key_beside, node_at, root_at
from ckptptr.protocol.node import Node
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Entry
from ckptptr.testing import Fault, FaultyStore

RUN = "bucket/run"


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture(params=["path", "file URL"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A run on this disk."""
    return str(tmp_path / "run") if request.param == "path" else f"file://{tmp_path}/run/"


def opened(store: FaultyStore, attempt: int | None = None, *, key: str = RUN) -> ckptptr.Checkpoints:
    """What `ckptptr.open` gives, on a store that we can watch."""
    return ckptptr.Checkpoints(Session(store, node_at(store, key, attempt=attempt, read_only=False)))


def reading(store: FaultyStore, key: str = RUN) -> ckptptr.Checkpoints:
    node = node_at(store, key, attempt=None, read_only=True)
    return ckptptr.Checkpoints(Session(store, node), read_only=True)


def listed(store: FaultyStore) -> list[Entry]:
    return [*store.inner.list("bucket")]


# Save and restore, through the front door


@pytest.mark.parametrize("scheme", ["memory://", ""])
def test_what_one_run_saves_the_next_restores(scheme: str, tmp_path: Path) -> None:
    url = f"{scheme}{tmp_path}/run" if not scheme else f"{scheme}{tmp_path.name}/run"
    with ckptptr.open(url) as checkpoints:
        assert checkpoints.restore(tmp_path / "none") is None
        saved = checkpoints.save(b"state", step=7, metadata={"loss": 0.5})
    with ckptptr.open(url) as checkpoints:
        folder = checkpoints.restore()
        assert folder is not None
        assert (folder / "_dst_cp").read_bytes() == b"state"
        assert [entry.reference for entry in checkpoints.history()] == [saved.reference]
        assert checkpoints.attempt == 1
    assert not folder.exists()  # it was a temporary one


def test_latest_is_at_the_url_and_homes_are_below_it(url: str, tmp_path: Path) -> None:
    with ckptptr.open(url, attempt=3) as checkpoints:
        saved = checkpoints.save(b"state")
    assert (tmp_path / "run/LATEST").is_file()
    assert (tmp_path / "run/attempts/3/manifests").is_dir()
    assert saved.url == str(tmp_path / "run" / saved.reference)
    assert saved.reference.startswith("attempts/3/manifests/")


def test_opening_alone_writes_nothing_when_the_attempt_is_given(url: str, tmp_path: Path) -> None:
    with ckptptr.open(url, attempt=0):
        pass
    assert not (tmp_path / "run").exists()


# Which attempt we are


def test_every_opener_gets_an_attempt_of_its_own(url: str) -> None:
    attempts = []
    for _ in range(3):
        with ckptptr.open(url) as checkpoints:
            attempts.append(checkpoints.attempt)
    assert attempts == [0, 1, 2]


def test_openers_that_race_get_different_attempts(store: FaultyStore) -> None:
    meeting = threading.Barrier(8, timeout=10)
    attempts: list[int] = []

    def race() -> None:
        meeting.wait()
        attempts.append(opened(store).attempt)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(attempts) == [*range(8)]


def test_a_claim_is_created_and_never_overwritten(store: FaultyStore) -> None:
    opened(store)
    assert [request.op for request in store.log if request.op not in ("read", "list")] == ["create"]
    assert [entry.key for entry in listed(store)] == ["bucket/run/claims/0000"]
    claim = json.loads(store.inner.read("bucket/run/claims/0000")[0])
    assert set(claim) == {"claim", "pid", "claimed_at"}


def test_a_claim_that_somebody_takes_at_this_moment_is_left_to_them(store: FaultyStore) -> None:
    opened(store)
    blind = FaultyStore(store.inner)
    blind.list = lambda _: iter(())  # type: ignore[method-assign]  # as it looked a moment ago
    assert opened(blind).attempt == 1


def test_a_claim_whose_reply_was_lost_is_ours(store: FaultyStore) -> None:
    lost = Fault(when="after", op="create", error=ConflictError("our own retry met our first try"))
    assert opened(FaultyStore(store.inner, [lost])).attempt == 0


def test_a_store_that_hesitates_does_not_fail_the_open(monkeypatch: pytest.MonkeyPatch) -> None:
    hesitant = FaultyStore(MemoryStore(), [Fault(op="read"), Fault(op="list")])
    monkeypatch.setattr("ckptptr.standalone.open_store", lambda *_, **__: (hesitant, RUN))
    assert ckptptr.open(f"memory://{RUN}").attempt == 0


def test_tries_to_claim_are_bounded(store: FaultyStore) -> None:
    for number in range(30):
        store.create(f"bucket/run/claims/{number:04d}", b"somebody's")
    taken = FaultyStore(store.inner)
    taken.list = lambda _: iter(())  # type: ignore[method-assign]  # as it looked a moment ago
    with pytest.raises(ConflictError, match="20 attempt numbers in a row were taken: memory://bucket/run"):
        opened(taken)


def test_a_claim_is_above_whatever_latest_knows_of(store: FaultyStore) -> None:
    opened(store, 7).save(b"state")
    assert opened(store).attempt == 8


def test_a_claim_is_above_every_home_where_latest_is_gone(store: FaultyStore) -> None:
    opened(store, 7).save(b"state")
    store.inner.delete(["bucket/run/LATEST"])
    assert opened(store).attempt == 8


def test_strange_names_among_the_claims_are_no_numbers(store: FaultyStore) -> None:
    for name in ("notes.txt", "\u00b2", "-5", "3"):
        store.inner.create(f"{RUN}/claims/{name}", b"")
    assert opened(store).attempt == 4


def test_an_attempt_that_is_given_is_taken_as_it_is(store: FaultyStore) -> None:
    assert opened(store, 5).attempt == 5
    assert opened(store, 5).attempt == 5
    assert store.log == []


def test_attempts_count_from_0(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="attempt is -1; attempts count from 0"):
        ckptptr.open(url, attempt=-1)


@pytest.mark.parametrize("op", ["read", "list", "create"])
def test_a_store_that_does_not_answer_is_not_taken_for_an_empty_one(store: FaultyStore, op: Any) -> None:
    failing = FaultyStore(store.inner, [Fault(op=op, times=1000)])
    with pytest.raises(StoreUnavailableError):
        opened(failing)
    assert listed(store) == []


# Reading only


def test_a_reader_restores_and_writes_nothing_whatever_it_meets(store: FaultyStore, tmp_path: Path) -> None:
    first = opened(store, 0).save(b"one")
    opened(store, 1).save(b"two")
    latest = store.inner.read("bucket/run/LATEST")[0]
    worlds: list[Callable[[], None]] = [
        lambda: None,
        lambda: put(store, first.reference.encode()),  # a person chose the first
        lambda: put(store, b"{ damaged"),
        lambda: store.inner.delete(["bucket/run/LATEST"]),
    ]
    restored = []
    for number, happen in enumerate(worlds):
        put(store, latest)
        happen()
        before, store.log[:] = listed(store), []
        with reading(store) as checkpoints:
            folder = checkpoints.restore(tmp_path / str(number))
            assert folder is not None
            restored.append((folder / "_dst_cp").read_bytes())
        assert {request.op for request in store.log} <= {"read", "list", "download"}
        assert listed(store) == before
    assert restored == [b"two", b"one", b"two", b"two"]


def put(store: FaultyStore, body: bytes) -> None:
    """Put LATEST as an editor does."""
    store.inner.delete(["bucket/run/LATEST"])
    store.inner.create("bucket/run/LATEST", body)


def test_a_reader_of_nothing_finds_nothing_and_leaves_no_trace(url: str, tmp_path: Path) -> None:
    with ckptptr.open(url, read_only=True) as checkpoints:
        assert checkpoints.restore(tmp_path / "state") is None
        assert checkpoints.history() == []
    assert [*tmp_path.iterdir()] == []


WRITES: list[Callable[[ckptptr.Checkpoints], object]] = [
    lambda checkpoints: checkpoints.save(b"state"),
    lambda checkpoints: checkpoints.pin("x"),
    lambda checkpoints: checkpoints.unpin("x"),
]


@pytest.mark.parametrize("write", WRITES)
def test_a_reader_cannot_write(store: FaultyStore, write: Callable[[ckptptr.Checkpoints], object]) -> None:
    with pytest.raises(InvalidArgumentError, match="opened read-only: memory://bucket/run/LATEST"):
        write(reading(store))
    assert listed(store) == []


def test_a_reader_is_none_of_the_attempts(store: FaultyStore) -> None:
    assert reading(store).attempt == 0
    opened(store, 2).save(b"state")
    assert reading(store).attempt == 3


# What people may name


def test_ckptptr_allow_roots_is_a_list_of_places(store: FaultyStore) -> None:
    environ = {"CKPTPTR_ALLOW_ROOTS": " s3://seeds/llama/, memory://other/\tMEMORY://third/x ,"}
    root = root_at(store, RUN, environ)
    assert (root.scheme, root.base) == ("memory", RUN)
    assert root.allowed == ("other", "third/x")  # what is in another kind of store cannot be named anyhow
    assert root_at(store, RUN, {}).allowed == ()


def test_a_path_on_a_disk_has_no_scheme() -> None:
    local, key = open_store("/mnt/data/run")
    root = root_at(local, key, {"CKPTPTR_ALLOW_ROOTS": "/mnt/seeds file:///mnt/more/"})
    assert (root.scheme, root.base, root.allowed) == ("file", "/mnt/data/run", ("/mnt/seeds", "/mnt/more"))


@pytest.mark.parametrize(
    ("url", "key"),
    [("s3://b/x", "b/x"), ("file:///mnt/x", "/mnt/x"), ("/mnt/x", "/mnt/x"), ("b/x", "b/x"), ("", "")],
)
def test_the_key_of_a_url_is_what_follows_the_scheme(url: str, key: str) -> None:
    assert key_beside(url, url) == key


LONG = "abfss://c@account.dfs.core.windows.net/x"


@pytest.mark.parametrize("known", [LONG, "abfs://c/y", "az://other/y"])
def test_the_key_beside_another_is_in_the_same_store(known: str) -> None:
    assert key_beside(LONG, known) == "c/x"


@pytest.mark.parametrize("known", ["s3://c/x", "/c/x", "abfs://c@another.dfs.core.windows.net/x"])
def test_the_key_beside_one_in_another_store_or_account_is_refused(known: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"not in the same store as {known}: abfss://c@account"):
        key_beside(LONG, known)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """A plain folder outside the run."""
    folder = tmp_path / "seeds" / "llama"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"llama")
    return folder


def test_another_place_may_be_named_only_where_it_is_allowed(
    seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ckptptr.open(str(tmp_path / "run"), attempt=0) as checkpoints,
        pytest.raises(InvalidArgumentError, match=r"leaves the root.*CKPTPTR_ALLOW_ROOTS"),
    ):
        checkpoints.restore(tmp_path / "state", checkpoint=str(seed))
    assert not (tmp_path / "state").exists()
    for allowed in (seed, seed.parent, f"file://{seed}/"):
        monkeypatch.setenv("CKPTPTR_ALLOW_ROOTS", str(allowed))
        with ckptptr.open(str(tmp_path / "run"), attempt=0) as checkpoints:
            checkpoints.restore(tmp_path / "state", checkpoint=str(seed))
        assert (tmp_path / "state/model.pt").read_bytes() == b"llama"


def test_latest_written_by_hand_can_name_an_allowed_place(
    seed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_ALLOW_ROOTS", str(seed))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/LATEST").write_text(f"{seed}\n")
    with ckptptr.open(str(tmp_path / "run"), read_only=True) as checkpoints:
        checkpoints.restore(tmp_path / "state")
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.verdict is ckptptr.Verdict.PLAIN
    assert (tmp_path / "state/model.pt").read_bytes() == b"llama"


# Nodes of Flyte, from outside

FLYTE = NodePrefix(root="bucket/data", project="p", domain="d", execution="e", node="n0")


def save_as_flyte(store: FaultyStore, attempt: int, state: bytes) -> None:
    home, *_ = FLYTE.homes_of(attempt)
    node = Node(root_at(store, FLYTE.root), FLYTE.prefix, attempt, home, FLYTE.homes_of)
    with ckptptr.Checkpoints(Session(store, node)) as checkpoints:
        checkpoints.save(state)


@pytest.mark.parametrize("latest", ["there", "gone"])
def test_a_node_of_flyte_can_be_read_from_outside(store: FaultyStore, tmp_path: Path, latest: str) -> None:
    for attempt, state in enumerate([b"one", b"two", b"three"]):
        save_as_flyte(store, attempt, state)
    if latest == "gone":
        store.inner.delete([f"{FLYTE.prefix}/LATEST"])
    before, store.log[:] = listed(store), []
    with reading(store, FLYTE.prefix) as checkpoints:
        assert checkpoints.attempt == 3
        folder = checkpoints.restore(tmp_path / "state")
    assert folder is not None
    assert (folder / "_dst_cp").read_bytes() == b"three"
    assert {request.op for request in store.log} <= {"read", "list", "download"}
    assert listed(store) == before


def test_references_of_a_flyte_node_are_relative_to_the_raw_output_root(store: FaultyStore) -> None:
    node = node_at(store, FLYTE.prefix, attempt=4, read_only=True)
    assert node.root.base == "bucket/data"
    assert node.home in FLYTE.homes_of(4)
    assert (node.lineage.project, node.lineage.domain, node.lineage.execution) == ("p", "d", "e")


def test_a_node_of_flyte_is_written_only_by_a_known_attempt(store: FaultyStore) -> None:
    with pytest.raises(InvalidArgumentError, match=r"belongs to Flyte tasks.*read_only=True"):
        opened(store, key=FLYTE.prefix)
    assert opened(store, 4, key=FLYTE.prefix).attempt == 4
    assert listed(store) == []


@pytest.mark.parametrize("below", ["p", "p/d", "p/d/e", "p/d/e/n0/x"])
def test_what_only_looks_like_a_node_of_flyte_is_refused(below: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a node prefix.*<execution>/<node>"):
        ckptptr.open(f"memory://bucket/data/_ckptptr/{below}", read_only=True)


# URLs


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "the path is empty"),
        ("memory://", "names nothing"),
        ("memory://b//x", "empty segment"),
        ("memory://b/../x", r"`\.\.` segments"),
        ("/tmp/../etc", r"`\.\.` segments"),
        ("file://host/x", "three slashes"),
        ("ftp://b/x", "not a kind of store"),
        ("s3://b/x?versionId=1", "a query or a fragment"),
        ("s3://key:secret@b/x", "no valid bucket name"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused_before_anything_is_asked(url: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason) as caught:
        ckptptr.open(url)
    assert "secret" not in str(caught.value)


def test_a_checkpoint_that_is_not_there_is_told(url: str, tmp_path: Path) -> None:
    with ckptptr.open(url, read_only=True) as checkpoints, pytest.raises(NotFoundError, match="that id"):
        checkpoints.restore(tmp_path / "state", checkpoint="0000000017-a0003-k9x2abqz")


def test_a_checkpoint_is_restored_to_a_folder_and_not_over_a_file(url: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"mine")
    with (
        ckptptr.open(url, attempt=0) as checkpoints,
        pytest.raises(InvalidArgumentError, match=r"restored to a folder.*/state"),
    ):
        checkpoints.restore(tmp_path / "state")
