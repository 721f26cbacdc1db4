"""What the stock SDK saved is a candidate: a running run is upgraded in the middle, and loses nothing."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import flyte
import pytest

from ckptptr.cli import main
from ckptptr.errors import DamagedError
from ckptptr.flyte2.stock_home import make_room
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.inventory import object_at
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import GLANCE
from tests.flyte2.contexts import checkpoint, context
from tests.flyte2.places import Place

HOME = "bucket/q7/r1/a0/{}/_flytecheckpoints"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "deep").mkdir(parents=True)
    (made / "last.ckpt").write_text("weights")
    (made / "deep" / "optimizer").write_text("momenta")
    (made / "link").symlink_to("last.ckpt")
    return made


def stock(root: Path, attempt: int) -> flyte.Checkpoint:
    paths = context(root, attempt).checkpoint_paths
    assert paths is not None
    return flyte.Checkpoint(paths.checkpoint_path, paths.prev_checkpoint_path)


def test_a_folder_that_the_stock_sdk_saved_is_loaded_by_any_later_attempt(
    tmp_path: Path, folder: Path
) -> None:
    stock(tmp_path, 1).save_sync(folder)
    fourth = checkpoint(tmp_path, 4)
    assert fourth.prev_exists()
    assert fourth.load_sync() == fourth.path
    assert sorted(p.name for p in fourth.path.rglob("*")) == ["deep", "last.ckpt", "link", "optimizer"]
    assert (fourth.path / "link").read_text() == "weights"
    fourth.close()  # the forward copy is done
    latest = checkpoint(tmp_path, 5).latest
    assert latest is not None
    assert latest.reference.startswith("a0/4/_flytecheckpoints/manifests/")


def test_bytes_are_too_and_what_is_saved_then_comes_first(tmp_path: Path) -> None:
    stock(tmp_path, 1).save_sync(b"of the stock SDK")
    second = checkpoint(tmp_path, 2)
    loaded = second.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"of the stock SDK"
    second.save_sync(b"ours")
    third = checkpoint(tmp_path, 3)
    loaded = third.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"ours"


def test_an_attempt_that_restarts_in_place_with_us_resumes_and_its_home_is_ours_then(tmp_path: Path) -> None:
    """On a disk the file is where our folder must be."""
    stock(tmp_path, 1).save_sync(b"before")
    again = checkpoint(tmp_path, 1)
    loaded = again.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"before"
    again.save_sync(b"after")
    second = checkpoint(tmp_path, 2)
    loaded = second.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"after"


@pytest.mark.parametrize("killed_after", ["makedirs", "rename"])
def test_a_kill_while_the_file_becomes_a_folder_loses_nothing(
    tmp_path: Path, killed_after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "_flytecheckpoints"
    home.write_bytes(b"stock")
    whole = getattr(os, killed_after)

    class KilledError(Exception):
        pass

    def killed(*given: object, **more: object) -> None:
        whole(*given, **more)
        raise KilledError

    monkeypatch.setattr(os, killed_after, killed)
    with pytest.raises(KilledError):
        make_room(str(home))
    monkeypatch.undo()
    make_room(str(home))
    make_room(str(home))
    assert [p.name for p in tmp_path.iterdir()] == ["_flytecheckpoints"]
    assert (home / "_dst_cp").read_bytes() == b"stock"


def test_an_empty_object_is_none_as_in_the_stock_sdk(tmp_path: Path) -> None:
    stock(tmp_path, 1).save_sync(b"")
    second = checkpoint(tmp_path, 2)
    assert not second.prev_exists()
    assert second.load_sync() is None


def test_an_archive_that_is_cut_short_is_damage_and_final(tmp_path: Path, folder: Path) -> None:
    stock(tmp_path, 1).save_sync(folder)
    home = tmp_path / "q7/r1/a0/1/_flytecheckpoints"
    home.write_bytes(home.read_bytes()[:-20])
    with pytest.raises(DamagedError, match="cannot be unpacked") as caught:
        checkpoint(tmp_path, 2).load_sync()
    assert isinstance(caught.value, flyte.errors.NonRecoverableError)


def test_an_archive_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "evil", arcname="../../evil")
    stock(tmp_path, 1).save_sync(tmp_path / "evil.tar")
    with pytest.raises(DamagedError, match="cannot be unpacked"):
        checkpoint(tmp_path, 2).load_sync()


@pytest.mark.parametrize("size", [1, GLANCE - 1, GLANCE, GLANCE + 1])
def test_the_size_of_a_large_object_is_read_in_a_listing(size: int) -> None:
    store = MemoryStore()
    store.upload(HOME.format(1), [b"x" * size])
    store.upload(HOME.format(1).replace("_flytecheckpoints", "raw"), [b"raw output"])
    (record,) = object_at(store, HOME.format(1))
    assert (record.size, record.object) == (size, "_flytecheckpoints")
    assert object_at(store, HOME.format(2)) == ()


def test_beside_payload_of_ours_that_a_kill_tore_the_object_is_still_a_candidate() -> None:
    """On a cloud the object and our home have the same key."""
    store = MemoryStore()
    store.upload(HOME.format(1), [b"stock"])
    store.upload(f"{HOME.format(1)}/data/0000000001-a0001-abcdefgh/_dst_cp", [b"torn"])
    node = node_at(store, "bucket/q7/r1/_ckptptr/p/d/r1/a0_v2", attempt=2, read_only=False)
    from ckptptr.checkpoints import Checkpoints
    from ckptptr.session.session import Session

    with Checkpoints(Session(store, node)) as checkpoints:
        restored = checkpoints.restore()
        assert restored is not None
        assert (restored / "_dst_cp").read_bytes() == b"stock"


def test_no_home_of_flyte_1_is_asked_for_an_object() -> None:
    class Untouched(MemoryStore):
        def read(self, *asked: object) -> NoReturn:
            raise AssertionError(asked)

    assert object_at(Untouched(), "bucket/data/vr/axq2rsxnmht57kq9sxpt-n0-0/_flytecheckpoints") == ()


def test_a_person_sees_and_chooses_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stock(tmp_path, 2).save_sync(b"stock")
    prefix = f"{tmp_path}/q7/r1/_ckptptr/p/d/r1/a0_v2"
    with pytest.raises(SystemExit) as ended:
        main(["show", prefix, "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert ended.value.code == 0
    assert shown["checkpoint"]["checkpoint"] == "a0/2/_flytecheckpoints"
    with pytest.raises(SystemExit) as ended:
        main(["get", prefix, f"{tmp_path}/got"])
    assert ended.value.code == 0
    assert (tmp_path / "got/_dst_cp").read_bytes() == b"stock"


@pytest.mark.servers
@pytest.mark.parametrize("where", ["disk", "s3"])
def test_a_run_is_upgraded_in_the_middle_by_the_real_a0(where: str, request: pytest.FixtureRequest) -> None:
    place: Place = request.getfixturevalue(f"on_{where}")
    disabled = {**place.action.environ, "CKPTPTR_DISABLE": "1"}
    before = replace(place.action, environ=disabled, inputs={"n": 3})
    assert before.run(1).outputs == {"o0": "counted from 0 to 3"}
    # Preempted, the same attempt comes back with ckptptr in its image.
    again = replace(place.action, inputs={"n": 5}).run(1)
    assert again.outputs == {"o0": "counted from 3 to 5"}, again.log
    last = place.action.run(3)
    assert last.outputs == {"o0": "counted from 5 to 8"}, last.log
