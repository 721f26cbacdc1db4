"""`latest`, `restore(step=)` and `add`, on memory and on a disk."""

from __future__ import annotations

from pathlib import Path

import pytest

import ckptptr
from ckptptr.checkpoints import Checkpoints
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.retention import Retention
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store


@pytest.fixture(params=["memory", "disk"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Store, str]:
    return (MemoryStore(), "b/run") if request.param == "memory" else open_store(str(tmp_path / "run"))


@pytest.fixture
def run(bucket: tuple[Store, str]) -> Checkpoints:
    store, key = bucket
    node = node_at(store, key, attempt=0, read_only=False)
    return Checkpoints(Session(store, node, retention=Retention(keep_last=3)))


@pytest.fixture
def trained(run: Checkpoints) -> Checkpoints:
    for step in (10, 20, 30, 40):
        run.save(f"state {step}".encode(), step=step)
    return run


def write_latest(bucket: tuple[Store, str], text: bytes) -> None:
    store, key = bucket
    store.replace(f"{key}/LATEST", text, store.read(f"{key}/LATEST")[1])


def test_latest_is_the_checkpoint_that_was_saved_last(run: Checkpoints) -> None:
    assert run.latest is None
    saved = run.save(b"state", step=7)
    assert run.latest == saved == run.history()[0]


def test_latest_is_what_a_person_chose(trained: Checkpoints, bucket: tuple[Store, str]) -> None:
    older = trained.history()[1]
    write_latest(bucket, older.reference.encode())
    assert trained.latest is not None
    assert trained.latest.reference == older.reference


def test_where_a_person_asks_for_a_fresh_start_there_is_no_latest(
    trained: Checkpoints, bucket: tuple[Store, str]
) -> None:
    write_latest(bucket, b"none")
    assert trained.latest is None


def test_a_damaged_latest_is_an_error_and_not_none(trained: Checkpoints, bucket: tuple[Store, str]) -> None:
    write_latest(bucket, b'{"checkpoint": ')
    with pytest.raises(ckptptr.DamagedError, match=r"LATEST.*A restore without a step finds the newest"):
        _ = trained.latest
    with pytest.raises(ckptptr.DamagedError):
        trained.restore(step=40)
    folder = trained.restore()
    assert folder is not None
    assert (folder / "_dst_cp").read_bytes() == b"state 40"


def test_a_step_is_restored_and_nothing_is_moved(trained: Checkpoints, tmp_path: Path) -> None:
    before = trained.history()
    assert trained.restore(tmp_path / "state", step=20) == tmp_path / "state"
    assert (tmp_path / "state/_dst_cp").read_bytes() == b"state 20"
    assert trained.history() == before


def test_of_two_checkpoints_with_one_step_the_newer_is_meant(trained: Checkpoints, tmp_path: Path) -> None:
    trained.save(b"again", step=20)
    trained.restore(tmp_path / "state", step=20)
    assert (tmp_path / "state/_dst_cp").read_bytes() == b"again"


def test_a_step_that_is_not_retained_is_an_error_that_names_those_that_are(trained: Checkpoints) -> None:
    with pytest.raises(ckptptr.NotFoundError, match=r"step 10: \S+/LATEST\. Retained steps: 20, 30, 40$"):
        trained.restore(step=10)


def test_where_nothing_is_retained_the_error_says_so(run: Checkpoints) -> None:
    with pytest.raises(ckptptr.NotFoundError, match="Retained steps: none"):
        run.restore(step=1)


def test_of_many_steps_the_nearest_are_named(bucket: tuple[Store, str]) -> None:
    store, key = bucket
    node = node_at(store, key, attempt=0, read_only=False)
    run = Checkpoints(Session(store, node, retention=Retention(keep_last=30)))
    for step in range(0, 50, 2):
        run.save(b"x", step=step)
    with pytest.raises(ckptptr.NotFoundError, match=r"the nearest 20 of 25: 10, 12, .*, 48$"):
        run.restore(step=49)


def test_a_step_and_a_checkpoint_exclude_each_other(trained: Checkpoints) -> None:
    with pytest.raises(ckptptr.InvalidArgumentError, match="a checkpoint or a step"):
        trained.restore(checkpoint=trained.history()[0].reference, step=40)
    with pytest.raises(ckptptr.InvalidArgumentError, match="not a whole number"):
        trained.restore(step="40")  # type: ignore[arg-type]


def names(run: Checkpoints) -> list[str]:
    folder = run.restore()
    assert folder is not None
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_added_to_the_current_content_or_replaces_its_namesake(
    run: Checkpoints, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_bytes(b"1")
    run.save(tmp_path / "model", step=1)
    (tmp_path / "optimizer").write_bytes(b"2")
    added = run.add(tmp_path / "optimizer", step=2, metadata={"loss": 1})
    assert (added.step, names(run)) == (2, ["optimizer", "weights"])
    (tmp_path / "optimizer").write_bytes(b"33")
    run.add(str(tmp_path / "optimizer"), step=3)
    with run.open("optimizer") as file:
        assert file.read() == b"33"


def test_files_are_added_in_a_batch(run: Checkpoints, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    with run.batch(step=1) as batch:
        batch.add(tmp_path / "a")
        batch.add(tmp_path / "b")
    assert (len(run.history()), names(run)) == (1, ["a", "b"])


def test_what_would_replace_the_content_is_not_added(run: Checkpoints, tmp_path: Path) -> None:
    for content in (tmp_path, b"bytes"):
        with pytest.raises(ckptptr.InvalidArgumentError, match="only the path of one file can be added"):
            run.add(content)  # type: ignore[arg-type]
    with pytest.raises(ckptptr.InvalidArgumentError, match="no such file"):
        run.add(tmp_path / "missing")
    assert run.history() == []
