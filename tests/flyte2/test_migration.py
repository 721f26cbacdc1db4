"""From flytekit to Flyte 2 with the same bucket: a seed is all that a new run needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.open import open_store
from ckptptr.testing.attempts import SimulatedNode
from tests.flyte2.contexts import checkpoint
from tests.flyte2.places import EXAMPLES, place_at

NODE = "data/_ckptptr/flytesnacks/development/axq2rsxnmht57kq9sxpt/n0"


def flytekits(root: Path) -> PointerCheckpoint:
    """The checkpoint of a task of flytekit."""
    from ckptptr.checkpoints import Checkpoints

    def opening() -> Checkpoints:
        store, key = open_store(f"{root}/{NODE}")
        return Checkpoints(Session(store, node_at(store, key, attempt=0, read_only=False)))

    return PointerCheckpoint("", None, opening)


@pytest.fixture
def seeded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTPTR_SEED", f"{tmp_path}/{NODE}")


@pytest.mark.usefixtures("seeded")
def test_bytes_that_flytekit_wrote_come_back_as_payload(tmp_path: Path) -> None:
    flytekits(tmp_path).write(b"state")
    first = checkpoint(tmp_path)
    assert first.load_sync() == first.path / "payload"
    assert (first.path / "payload").read_bytes() == b"state"
    first.close()
    second = checkpoint(tmp_path, 2)
    assert second.look().found is not None
    assert second.latest is not None
    assert second.latest.reference.startswith("a0/1/_flytecheckpoints/manifests/")


@pytest.mark.usefixtures("seeded")
def test_files_that_it_added_come_back_as_a_folder_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("weights")
    flytekits(tmp_path).save(tmp_path / "model.pt")
    first = checkpoint(tmp_path)
    assert first.load_sync() == first.path
    assert [path.name for path in first.path.iterdir()] == ["model.pt"]


@pytest.mark.servers
@pytest.mark.flytekit
def test_a_run_of_flyte_2_goes_on_where_an_execution_of_flyte_1_was(tmp_path: Path) -> None:
    """By both real entry points."""
    old = SimulatedNode(
        "counter_task", "count_to", root=f"{tmp_path}/data", folder=str(EXAMPLES), inputs={"n": 3}
    )
    assert old.run(0).outputs == {"o0": "counted from 0 to 3"}
    assert old.prefix == f"{tmp_path}/{NODE}"
    new = place_at(f"{tmp_path}/data", {}, {"CKPTPTR_SEED": old.prefix})
    last = new.action.run(1)
    assert last.outputs == {"o0": "counted from 3 to 8"}, last.log
