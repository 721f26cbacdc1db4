"""The command line on the layout of Flyte 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ckptptr.cli import main
from ckptptr.inspect.survey import everywhere, survey
from ckptptr.stores.memory import MemoryStore
from tests.flyte2.contexts import checkpoint


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    assert ended.value.code == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two actions of one run; the first was saved by its attempts 1 and 3."""
    checkpoint(tmp_path, 1).save_sync(b"one", step=1)
    checkpoint(tmp_path, 3).save_sync(b"two", step=2)
    checkpoint(tmp_path, 1, action="b1").save_sync(b"other", step=9)
    return tmp_path


@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_a_checkpoint_path_names_its_node(
    root: Path, attempt: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """The home of attempt 2 is empty: only the LATEST of the action tells that it is its."""
    shown = told(capsys, "show", f"{root}/q7/r1/a0/{attempt}/_flytecheckpoints")
    assert shown["node"] == f"{root}/q7/r1/_ckptptr/p/d/r1/a0_v2"
    assert shown["checkpoint"]["step"] == 2


def test_without_latest_the_manifests_in_a_home_tell_its_run(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "q7/r1/_ckptptr/p/d/r1/a0_v2/LATEST").unlink()
    shown = told(capsys, "show", f"{root}/q7/r1/a0/1/_flytecheckpoints")
    assert shown["node"] == f"{root}/q7/r1/_ckptptr/p/d/r1/a0_v2"


def test_find_looks_into_all_shards_of_a_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = told(capsys, "find", "--flyte-2", f"{root}/r1")
    assert {node["name"]: node["step"] for node in found["nodes"]} == {"a0_v2": 2, "b1_v2": 9}
    with pytest.raises(SystemExit) as ended:
        main(["find", f"{root}/r1"])
    assert ended.value.code == 3
    assert "give its base, and --flyte-2" in " ".join(capsys.readouterr().err.split())


def test_on_a_cloud_the_shard_follows_the_bucket() -> None:
    store = MemoryStore()
    for key in ("b/q7/org/r1/_ckptptr/p/d/r1/a0_v2", "b/99/org/r1/_ckptptr/p/d/r1/c2_v2"):
        store.create(f"{key}/LATEST", b"none")
    store.create("b/org/q7/r1/_ckptptr/p/d/r1/elsewhere_v2/LATEST", b"none")
    for base in ("b/org/r1", "b/org", "b"):
        found = survey(store, everywhere(base, flyte_2=True)).nodes
        assert {key.rpartition("/")[2] for key in found} == {"a0_v2", "c2_v2"}


def test_doctor_and_use_do_what_they_do_elsewhere(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = f"{root}/q7/r1/_ckptptr/p/d/r1/a0_v2"
    assert told(capsys, "doctor", node)["next"]["checkpoint"]["step"] == 2
    first = next(entry for entry in told(capsys, "log", node)["checkpoints"] if entry["step"] == 1)
    told(capsys, "use", node, first["id"], "--yes")
    fourth = checkpoint(root, 4)
    loaded = fourth.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"one"
