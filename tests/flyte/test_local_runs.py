"""A local run is stock flytekit's, file by file, and says where its checkpoints are."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from flytekit import current_context, task

import ckptptr
from ckptptr.errors import SettingError
from ckptptr.flyte import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


@task
def count_twice() -> str:
    current_context().checkpoint.write(b"1")
    current_context().checkpoint.write(b"2")
    return str(current_context().checkpoint._checkpoint_dest)


@task
def save_one() -> str:
    checkpoint().save(b"1", step=1)
    return str(checkpoint()._checkpoint_dest)


@task
def begins_from(seed: str) -> str:
    ours = checkpoint(seed=seed)
    began = ours.read()
    for step in (1, 2):
        ours.save(b"own", step=step)
    return f"{began!r}, kept {[kept.step for kept in checkpoint(seed=seed).history()]}"


def pyflyte_run(temporary: Path, **environ: str) -> tuple[str, str, dict[str, bytes]]:
    """Standard output and error of `pyflyte run`, and the files it leaves, without the random names."""
    temporary.mkdir()
    done = subprocess.run(
        [Path(sys.executable).with_name("pyflyte"), "run", "counter_task.py", "count_to", "--n", "3"],
        cwd=EXAMPLES,
        env={**os.environ, "TMPDIR": str(temporary), **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    files = (path for path in temporary.rglob("*") if path.is_file())
    known = {re.sub(r"(flyte|user_space)[^/]{8}", r"\1", f"{p.relative_to(temporary)}"): p for p in files}
    return done.stdout, done.stderr, {name: path.read_bytes() for name, path in known.items()}


@pytest.mark.servers
def test_pyflyte_run_prints_and_leaves_what_it_does_without_us_and_says_where(tmp_path: Path) -> None:
    printed, said, files = pyflyte_run(tmp_path / "ours")
    stock_printed, stock_said, stock_files = pyflyte_run(tmp_path / "stock", CKPTPTR_DISABLE="1")
    assert (printed, files) == (stock_printed, stock_files)
    assert files == {"flyte/user_space/__cp/_dst_cp": b"3"}
    where = re.search("^ckptptr: a local run: stock flytekit saves checkpoints in (.*)$", said, re.MULTILINE)
    assert where is not None
    assert Path(where[1], "_dst_cp").read_bytes() == b"3"
    assert said.replace(f"{where[0]}\n", "") == stock_said


def test_a_task_called_as_a_function_says_once_where_it_saves(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ckptptr"):
        where = count_twice()
    assert [record.message for record in caplog.records] == [
        f"a local run: stock flytekit saves checkpoints in {where}"
    ]
    assert [path.read_bytes() for path in Path(where).iterdir()] == [b"2"]


def test_so_does_the_one_line_use(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="ckptptr"):
        where = save_one()
    assert [r.message for r in caplog.records if "local run" in r.message] == [
        f"a local run: checkpoints are saved in {where}"
    ]
    assert (Path(where) / "LATEST").is_file()


def test_there_a_task_begins_from_its_own_seed_and_the_settings_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ckptptr.open(tmp_path).save(b"of the seed")
    monkeypatch.setenv("CKPTPTR_KEEP_LAST", "1")
    assert begins_from(seed=str(tmp_path)) == "b'of the seed', kept [2]"
    assert begins_from(seed="") == "None, kept [2]"
    monkeypatch.setenv("CKPTPTR_SEED", str(tmp_path))
    assert begins_from(seed="") == "b'of the seed', kept [2]"
    monkeypatch.setenv("CKPTPTR_KEEP_LAST", "all")
    with pytest.raises(SettingError, match="CKPTPTR_KEEP_LAST"):
        begins_from(seed="")
