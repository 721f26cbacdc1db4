"""`ckptptr export` copies inside the store to a plain folder."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

import ckptptr
from ckptptr.inspect.sentences import ONLY_SIZES
from ckptptr.testing import Fault
from tests.cli.conftest import FlyteNode, run, run_json
from tests.helpers import read_folder


@pytest.mark.usefixtures("ids")
def test_the_files_are_there_by_their_names_and_no_byte_passed_through(
    node: FlyteNode, tmp_path: Path, faults: list[Fault]
) -> None:
    faults += [Fault(op=op, times=1000) for op in ("download", "upload", "create", "replace")]
    said = run("export", node.url, str(tmp_path / "plain"))
    assert said.exit_code == 0
    assert said.stdout.splitlines()[0] == f"Step 3 is in {tmp_path / 'plain'}."
    assert read_folder(tmp_path / "plain") == {"_dst_cp": "state 3"}


@pytest.mark.usefixtures("ids")
def test_what_was_exported_is_a_plain_checkpoint_to_a_later_attempt(node: FlyteNode) -> None:
    run("export", node.url, "--step", "2", str(node.root / "plain"))
    other = FlyteNode(node.root, "n1")
    other.latest.parent.mkdir(parents=True)
    other.latest.write_text("plain")
    with ckptptr.open(other.url, attempt=0) as checkpoints:
        folder = checkpoints.restore()
        assert folder is not None
        assert read_folder(folder) == {"_dst_cp": "state 2"}


def test_a_home_of_an_attempt_of_stock_flytekit_may_be_the_destination(
    node: FlyteNode, ids: dict[int, str]
) -> None:
    told = run_json("export", node.url, ids[1], str(node.home(5)))
    assert (told["checkpoint"]["step"], told["files"], told["bytes"]) == (1, 1, 7)
    assert read_folder(node.home(5)) == {"_dst_cp": "state 1"}


def test_what_has_no_place_in_a_plain_folder_is_said(node: FlyteNode, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    (folder / "empty").mkdir(parents=True)
    (folder / "x").write_text("x")
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.save(folder)
    assert (
        "The copy has no permission bits and no empty folders"
        in run("export", node.url, str(tmp_path / "p")).stdout
    )


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("s3://bucket/elsewhere", "Download with `ckptptr get`"),
        ("{root}", "not empty"),
        ("{url}/plain", "inside the node itself"),
        ("{home}/data/plain", "inside the node itself"),
        ("/", "this is not a plain path of a folder"),
    ],
)
@pytest.mark.usefixtures("ids")
def test_a_wrong_destination_is_refused(node: FlyteNode, where: str, words: str) -> None:
    before = read_folder(node.root)
    said = run("export", node.url, where.format(root=node.root, url=node.url, home=node.home(0)))
    assert said.exit_code == 2
    assert words in said.stderr
    assert read_folder(node.root) == before


def test_half_a_copy_is_taken_away_again(node: FlyteNode, tmp_path: Path, faults: list[Fault]) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_text(name)
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.save(folder)
    faults.append(Fault(op="copy", key="/b", times=1000))
    said = run("export", node.url, str(tmp_path / "plain"))
    assert said.exit_code == 6
    assert not list((tmp_path / "plain").glob("*"))


def test_a_copy_of_another_size_is_no_success(node: FlyteNode, ids: dict[int, str], tmp_path: Path) -> None:
    (node.home(0) / "data" / ids[3] / "_dst_cp").write_text("short")
    said = run("export", node.url, ids[3], str(tmp_path / "plain"))
    assert said.exit_code == 4
    assert "5 bytes, 7 were saved" in said.stderr
    assert not list((tmp_path / "plain").glob("*"))


def test_a_copy_of_other_bytes_of_that_size_is_made_and_the_output_says_what_was_compared(
    node: FlyteNode, ids: dict[int, str], tmp_path: Path
) -> None:
    (node.home(0) / "data" / ids[3] / "_dst_cp").write_text("state X")
    said = run("export", node.url, ids[3], str(tmp_path / "plain"))
    assert said.exit_code == 0
    assert ONLY_SIZES in " ".join(said.stdout.split())
    assert ONLY_SIZES in " ".join(run("verify", node.url, ids[3]).stdout.split())
    assert "Only sizes are compared" in " ".join(run("export", "--help").stdout.split())


@pytest.mark.usefixtures("tmp_path")
def test_in_a_bucket_the_destination_is_a_url() -> None:
    bucket = f"memory://{uuid.uuid4().hex}"
    with ckptptr.open(f"{bucket}/run") as checkpoints:
        checkpoints.save(b"x", step=1)
    told = run_json("export", f"{bucket}/run", f"{bucket}/plain/")
    assert list(told) == ["command", "node", "checkpoint", "destination", "files", "bytes"]
    assert told["destination"] == f"{bucket}/plain"
    assert run("export", f"{bucket}/run", f"{bucket}/plain").exit_code == 2  # not empty any more
    for wrong in (bucket, f"{bucket}/a//b", f"{bucket}/../x"):
        assert run("export", f"{bucket}/run", wrong).exit_code == 2
