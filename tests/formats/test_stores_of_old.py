"""Stores that released versions wrote are read and restored for ever; see the README beside each."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

import ckptptr
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.pointer import Pointer

ONE = Path(__file__).parent / "ckptptr-1" / "store"
FIRST = "attempts/0/manifests/0000000001-a0000-ttttttt2.json"
SECOND = "attempts/0/manifests/0000000002-a0000-ttttttt4.json"
THIRD = "attempts/1/manifests/0000000003-a0001-ttttttt8.json"

UP, DOWN = bytes(range(256)), bytes(reversed(range(256)))
OTHERS = {
    "empty": b"",
    "größe/ü 1.txt": "größe\n".encode(),
    "logs": None,
    "optimizer/adam.bin": b"unchanged",
    "run.sh": b"#!/bin/sh\n",
}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A copy in another place: references are relative to the root."""
    return Path(shutil.copytree(ONE, tmp_path / "store"))


def content(folder: Path) -> dict[str, bytes | None]:
    """Files by path; None for an empty folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.is_file() or not any(path.iterdir())
    }


def test_the_newest_checkpoint_is_restored(store: Path, tmp_path: Path) -> None:
    with ckptptr.open(str(store), read_only=True) as checkpoints:
        assert checkpoints.restore(tmp_path / "state") == tmp_path / "state"
        assert checkpoints.resolution is not None
        assert checkpoints.resolution.verdict is ckptptr.Verdict.POINTER
        assert checkpoints.resolution.rejected == ()
    assert content(tmp_path / "state") == {**OTHERS, "model.bin": DOWN, "added.txt": b"added"}


@pytest.mark.parametrize(("checkpoint", "model"), [(FIRST, UP), (SECOND, DOWN)])
def test_every_checkpoint_of_the_history_is_restored(
    store: Path, tmp_path: Path, checkpoint: str, model: bytes
) -> None:
    with ckptptr.open(str(store), read_only=True) as checkpoints:
        checkpoints.restore(tmp_path / "state", checkpoint=checkpoint)
    assert content(tmp_path / "state") == {**OTHERS, "model.bin": model}


def test_permission_bits_are_restored(store: Path, tmp_path: Path) -> None:
    with ckptptr.open(str(store), read_only=True) as checkpoints:
        checkpoints.restore(tmp_path / "state")
    modes = {path: stat.S_IMODE((tmp_path / "state" / path).stat().st_mode) for path in OTHERS}
    assert (modes["run.sh"], modes["optimizer/adam.bin"]) == (0o755, 0o600)


def test_the_history_says_what_was_saved_and_what_is_pinned(store: Path) -> None:
    with ckptptr.open(str(store), read_only=True) as checkpoints:
        history = checkpoints.history()
    assert [(c.reference, c.step, c.attempt, c.seq, c.bytes, c.pinned) for c in history] == [
        (THIRD, 300, 1, 3, 288, False),
        (SECOND, 200, 0, 2, 283, False),
        (FIRST, 100, 0, 1, 283, True),
    ]
    assert history[0].url == str(store / THIRD)
    assert history[0].published_at == "2026-11-24T12:00:08Z"


def test_without_latest_the_history_and_the_pins_are_found_again(store: Path, tmp_path: Path) -> None:
    (store / "LATEST").unlink()
    with ckptptr.open(str(store), attempt=2) as checkpoints:
        checkpoints.restore(tmp_path / "state")
        checkpoints.wait()
        history = checkpoints.history()
    assert content(tmp_path / "state") == {**OTHERS, "model.bin": DOWN, "added.txt": b"added"}
    copied, *others = history  # the newest now stands in our own home
    assert (copied.step, copied.attempt, copied.seq) == (300, 2, 3)
    assert [(c.reference, c.pinned) for c in others] == [(SECOND, False), (FIRST, True)]


def test_metadata_are_read_as_they_were_given(store: Path) -> None:
    manifest = Manifest.decode((store / FIRST).read_bytes(), CheckpointId.parse(Path(FIRST).stem), "")
    assert manifest.metadata == {"loss": 0.5, "tags": ["a", None]}


def test_latest_is_written_again_to_the_same_bytes(store: Path) -> None:
    body = (store / "LATEST").read_bytes()
    pointer = Pointer.decode(body, "LATEST")
    assert not pointer.edited
    assert pointer.encode() == body


@pytest.mark.parametrize("reference", [FIRST, SECOND, THIRD])
def test_manifests_are_written_again_to_the_same_bytes(store: Path, reference: str) -> None:
    body = (store / reference).read_bytes()
    assert Manifest.decode(body, CheckpointId.parse(Path(reference).stem), "").encode() == body
