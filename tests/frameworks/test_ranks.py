"""A rank of two is killed in the middle of a save; what is trained then is what an undisturbed run trains."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

import ckptptr
from tests.frameworks.launch import FRAMEWORKS, Forks, in_flyte, in_flyte_2, torchrun

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", params=FRAMEWORKS)  # so pytest runs the tests of one after those of another
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def straight(framework: str, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The lines of a run of two ranks that nothing disturbs: one for each loss, of steps 1 to 6."""
    trained = forks.train(framework, tmp_path_factory.mktemp("straight"))
    assert [text.partition("\n")[0] for text in trained] == ["began after step 0"] * 2
    lines = trained[0].split("\n")[1:]
    assert [line.partition(":")[0] for line in lines] == [f"step {n}" for n in range(1, 7)]
    return lines


def steps_saved(at: Path) -> list[int | None]:
    with ckptptr.open(at / "run", read_only=True) as checkpoints:
        return [kept.step for kept in checkpoints.history()]


def losses(lines: list[str]) -> list[float]:
    return [float(re.sub(".*loss ", "", line)) for line in lines]


@pytest.mark.parametrize("apart", [True, False], ids=["each rank has a disk", "one disk"])
def test_torchrun_restarts_the_ranks_and_the_losses_are_equal(
    framework: str, apart: bool, straight: list[str], forks: Forks, tmp_path: Path
) -> None:
    launch = torchrun if apart else forks.train
    trained = launch(framework, tmp_path, dies_at=4, apart=apart)
    assert [text.split("\n")[0] for text in trained] == ["began after step 2"] * 2
    assert trained[0].split("\n")[1:] == straight[2:]
    assert steps_saved(tmp_path) == [6, 4, 2]


@pytest.mark.parametrize("launch", [in_flyte, in_flyte_2], ids=["Flyte", "Flyte 2"])
def test_an_elastic_task_restarts_the_ranks_and_the_losses_are_equal(
    framework: str, launch: Callable[..., str], straight: list[str], tmp_path: Path
) -> None:
    trained = launch(framework, tmp_path, dies_at=4)
    assert trained.split("\n") == ["began after step 2", *straight[2:]]


def test_another_number_of_ranks_goes_on_and_the_losses_differ_by_rounding_at_most(
    framework: str, forks: Forks, tmp_path: Path
) -> None:
    """Without dropout: the random numbers of a rank are of no use to another number of ranks."""
    assert forks.train(framework, tmp_path, dies_at=4, restarts=0, dropout=0.0) == []
    assert steps_saved(tmp_path) == [2]
    (other,) = forks.train(framework, tmp_path, ranks=1, dropout=0.0)
    (alone,) = forks.train(framework, tmp_path / "alone", ranks=1, dropout=0.0)
    assert other.split("\n")[0] == "began after step 2"
    assert losses(other.split("\n")[1:]) == pytest.approx(losses(alone.split("\n")[3:]), abs=1e-5)


@pytest.mark.parametrize("framework", ["lightning"], indirect=True)
def test_shards_that_lack_the_file_written_last_are_never_resumed_from(
    framework: str, straight: list[str], forks: Forks, tmp_path: Path
) -> None:
    """Lightning writes `meta.pt` after the `.metadata` of torch. One rank also resumes the shards of two."""
    trained = forks.train(framework, tmp_path, dies_at=4, who=0, sharded=True)
    assert [text.split("\n") for text in trained] == [["began after step 2", *straight[2:]]] * 2
    assert steps_saved(tmp_path) == [6, 4, 2]
    assert forks.train(framework, tmp_path / "two", dies_at=4, who=0, sharded=True, restarts=0) == []
    torn = tmp_path / "two/disk/epoch=0-step=4.ckpt"
    assert (torn / ".metadata").exists()
    assert not (torn / "meta.pt").exists()
    (other,) = forks.train(framework, tmp_path / "two", ranks=1, sharded=True)
    assert other.split("\n")[0] == "began after step 2"
    assert losses(other.split("\n")[1:]) == pytest.approx(losses(straight[2:]), abs=1e-5)


@pytest.mark.parametrize("framework", ["lightning"], indirect=True)
def test_a_kill_while_the_plugin_writes_leaves_the_checkpoint_before(
    framework: str, straight: list[str], forks: Forks, tmp_path: Path
) -> None:
    trained = forks.train(framework, tmp_path, dies_at=4, who=0, plugin=True)
    assert [text.split("\n") for text in trained] == [["began after step 2", *straight[2:]]] * 2
    assert steps_saved(tmp_path) == [6, 4, 2]


@pytest.mark.parametrize("framework", ["lightning", "transformers"], indirect=True)  # else the loop is yours
def test_a_sigterm_to_one_rank_makes_all_save_the_step_and_end(
    framework: str, straight: list[str], forks: Forks, tmp_path: Path
) -> None:
    trained = forks.train(framework, tmp_path, sigterm_at=2, every=4)
    # A Trainer logs a loss in the next step, and saves once more at the end.
    ended, saved = (3, [6, 4, 3]) if framework == "transformers" else (2, [4, 2])
    assert [text.split("\n")[0] for text in trained] == [f"began after step {ended}"] * 2
    assert trained[0].split("\n")[1:] == straight[ended:]
    assert steps_saved(tmp_path) == saved


@pytest.mark.parametrize("framework", ["dcp"], indirect=True)
@pytest.mark.parametrize(
    ("how", "dies"),
    [("thread", "dies_at"), ("process", "dies_at"), ("process", "writer_dies_at")],
    ids=["thread", "process", "process, which is killed"],
)
def test_an_asynchronous_save_of_dcp_is_a_checkpoint_of_all_ranks(
    framework: str, how: str, dies: str, straight: list[str], forks: Forks, tmp_path: Path
) -> None:
    trained = forks.train(framework, tmp_path, how=how, **{dies: 4})
    assert [text.split("\n") for text in trained] == [["began after step 2", *straight[2:]]] * 2
    assert steps_saved(tmp_path) == [6, 4, 2]
    with ckptptr.open(tmp_path / "run", read_only=True) as checkpoints:
        folder = checkpoints.restore(tmp_path / "folder")
        found: Any = checkpoints.resolution
        assert found.found.manifest.metadata == {"by": how}
    dcp_to_torch_save(folder, tmp_path / "whole.pt")  # torch alone reads it
    whole = torch.load(tmp_path / "whole.pt", weights_only=True)
    assert (int(whole["step"]), len(whole["weights"]["3.weight"])) == (6, 2)
