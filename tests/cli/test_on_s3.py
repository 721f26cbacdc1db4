"""The commands on a real S3 server: options on the command line, and what only S3 has."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import s3fs
from fsspec.asyn import sync

import ckptptr
from tests.cli.conftest import run, run_json
from tests.helpers import read_folder
from tests.servers.proxy import FaultProxy
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.servers


@pytest.fixture
def run_on_s3(s3_bucket: str, s3_filesystem: Any) -> str:
    """A run outside Flyte with one checkpoint; its URL."""
    url = f"s3://{s3_bucket}/{uuid.uuid4().hex}/run"
    with ckptptr.open(url, filesystem=s3_filesystem) as checkpoints:
        checkpoints.save(b"state", step=1)
    return url


@contextmanager
def on_the_command_line(**settings: str) -> Iterator[list[str]]:
    """The options of a command for these settings; what s3fs opens for them is closed again."""
    try:
        yield [word for name, value in settings.items() for word in ("--storage-option", f"{name}={value}")]
    finally:
        made = s3fs.S3FileSystem(use_listings_cache=False, **settings)  # the one that fsspec has cached
        sync(made.loop, made.s3.close)


@pytest.fixture
def options(s3_server: Seaweed) -> Iterator[list[str]]:
    """The options that lead to the server."""
    with on_the_command_line(
        key=s3_server.access_key, secret=s3_server.secret_key, endpoint_url=s3_server.endpoint
    ) as options:
        yield options


@contextmanager
def busy_for_less_than(seconds: float) -> Iterator[None]:
    """In seconds of the processor: other tests run beside this one, and the server is not ours.

    That nodes are read many at once, `test_execution.py` shows.
    """
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


@pytest.mark.parametrize(
    ("engine", "told", "blocks"),
    [
        ("auto", ("obstore", "obstore is installed", 64), (5 << 20, 38)),
        ("fsspec", ("fsspec", "CKPTPTR_ENGINE is fsspec", 16), (16 << 20, 8)),
    ],
)
def test_show_says_what_moves_payload_why_and_with_how_many_connections(
    run_on_s3: str,
    options: list[str],
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    told: tuple[str, str, int],
    blocks: tuple[int, int],
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("CKPTPTR_ENGINE", engine)
    shown = run_json("show", run_on_s3, *options)
    assert (shown["engine"], shown["engine_why"], shown["connections"]) == told
    assert (shown["block_bytes"], shown["blocks_at_once"]) == blocks
    said = run("show", run_on_s3, *options).stdout
    large = (
        f"at most {told[2]}; large files in blocks of {blocks[0] >> 20}.0 MiB, at most {blocks[1]} at once"
    )
    assert " ".join(said.split()).count(large) == 1


def test_doctor_lists_uploads_that_were_never_finished(
    run_on_s3: str, options: list[str], s3_filesystem: Any
) -> None:
    bucket, _, path = run_on_s3.removeprefix("s3://").partition("/")
    key = f"{path}/attempts/0/data/0000000002-a0000-abcdefgh/model.pt"
    begun = s3_filesystem.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    told = run_json("doctor", run_on_s3, *options)
    checks = {finding["check"]: finding for finding in told["findings"]}
    assert "1 multipart upload is unfinished" in checks["unfinished-uploads"]["what"]
    assert begun["UploadId"] in checks["unfinished-uploads"]["type"]
    assert checks["guarantee"]["level"] == "note"
    s3_filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=begun["UploadId"])
    told = run_json("doctor", run_on_s3, *options)
    assert "unfinished-uploads" not in {finding["check"] for finding in told["findings"]}


def test_what_is_put_is_verified_downloaded_exported_and_swept_there(
    run_on_s3: str, options: list[str], s3_filesystem: Any, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "model.pt").write_bytes(b"mended")
    put = run_json("put", run_on_s3, str(mine), "--step", "9", *options)
    assert put["checkpoint"]["step"] == 9
    assert run_json("verify", run_on_s3, "--all", "--deep", *options)["bytes_read"] == 11
    run_json("get", run_on_s3, str(tmp_path / "out"), *options)
    assert read_folder(tmp_path / "out") == {"model.pt": "mended"}
    plain = f"{run_on_s3}-plain"
    run_json("export", run_on_s3, plain, *options)
    assert s3_filesystem.cat(f"{plain}/model.pt") == b"mended"
    assert run_json("rollback", run_on_s3, *options)["checkpoint"]["step"] == 1
    assert run_json("release", run_on_s3, *options)["latest"]["held"] is False
    torn = f"{run_on_s3}/attempts/0/data/0000000001-a0000-abcdefgh/x"
    s3_filesystem.pipe(torn, b"torn")
    with ckptptr.open(run_on_s3, filesystem=s3_filesystem) as checkpoints:
        checkpoints.save(b"later", step=10)
    swept = run_json("sweep", run_on_s3, "--yes", *options)
    assert [leaving["why"] for leaving in swept["checkpoints"]] == ["orphan"]
    assert not s3_filesystem.exists(torn)


def test_with_wrong_credentials_doctor_says_so(run_on_s3: str, s3_server: Seaweed) -> None:
    with on_the_command_line(
        key=s3_server.access_key, secret=s3_server.secret_key[::-1], endpoint_url=s3_server.endpoint
    ) as options:
        told = run_json("doctor", run_on_s3, *options, exit_code=9)
    assert told["findings"][0]["check"] == "access-denied"
    assert "the secret key is wrong" in told["findings"][0]["what"].lower()


def test_a_map_task_of_2000_indices_is_one_row_within_five_seconds(
    s3_bucket: str, s3_filesystem: Any, options: list[str]
) -> None:
    execution = f"s3://{s3_bucket}/{uuid.uuid4().hex}/_ckptptr/p/d/exec"
    with ckptptr.open(f"{execution}/n1-0-n0", filesystem=s3_filesystem, attempt=0) as checkpoints:
        checkpoints.save(b"state", step=10)
    latest = s3_filesystem.cat(f"{execution}/n1-0-n0/LATEST")
    others = {f"{execution}/n1-0-n{index}/LATEST": latest for index in range(1, 2000)}
    others[f"{execution}/n1-0-n77/LATEST"] = b"{"
    s3_filesystem.pipe(others, batch_size=100)
    with busy_for_less_than(5):
        (row,) = run_json("doctor", execution, *options, exit_code=9)["nodes"]
    assert (row["name"], row["nodes"], row["damaged"], row["problems"]) == ("n1-0-n*", 2000, 1, 1)
    assert (row["url"], row["looked_at"]) == (f"{execution}/n1-0-n77", "LATEST")
    with busy_for_less_than(5):
        (row,) = run_json("report", execution, *options)["rows"]
    assert (row["nodes"], row["damaged"], row["reported"]) == (2000, 1, [f"{execution}/n1-0-n77"])


def test_3000_nodes_are_found_within_five_seconds(
    s3_bucket: str, s3_filesystem: Any, options: list[str]
) -> None:
    root = f"s3://{s3_bucket}/{uuid.uuid4().hex}"
    first = f"{root}/_ckptptr/p/d/exec/n0"
    with ckptptr.open(first, filesystem=s3_filesystem, attempt=0) as checkpoints:
        checkpoints.save(b"state", step=10)
    latest = s3_filesystem.cat(f"{first}/LATEST")
    others = {f"{root}/_ckptptr/p/d/exec{n // 10}/n{n % 10}/LATEST": latest for n in range(2999)}
    s3_filesystem.pipe(others, batch_size=100)
    with busy_for_less_than(5):
        found = run_json("find", root, *options)
    assert found["summary"] == {"nodes": 3000, "damaged": 0, "held": 0, "readable": 3000}


def test_what_du_counts_a_clean_deletes_but_for_what_is_pinned(
    s3_bucket: str, s3_filesystem: Any, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"s3://{s3_bucket}/{uuid.uuid4().hex}"
    nodes = [f"{root}/_ckptptr/p/d/{execution}/n0" for execution in ("over", "pinned")]
    for node in nodes:
        with ckptptr.open(node, filesystem=s3_filesystem, attempt=0) as checkpoints:
            for step in range(3):
                checkpoints.save(b"state %d" % step, step=step)
    run_json("pin", nodes[1], "--step", "1", *options)

    def left() -> list[str]:
        there: list[str] = s3_filesystem.find(root)
        return there

    used = run_json("du", root, "--by", "execution", *options)
    assert used["total"]["objects"] == len(left())
    assert [row["execution"] for row in used["rows"]] == ["pinned", "over"]
    clean = ("clean", root, "--older-than", "30d", "--yes", *options)
    assert (run_json(*clean)["executions"], run_json(*clean)["moving"]) == ([], 2)
    monkeypatch.setattr("ckptptr.cli.clean.before", lambda *_: time.time() + 60)
    told = run_json(*clean)
    assert {each["execution"] for each in told["executions"]} == {"pinned", "over"}  # S3 counts in seconds
    assert len(left()) == 4  # LATEST, a manifest, its marker, and its payload
    assert run_json("show", nodes[1], *options)["checkpoint"]["step"] == 1


NAMES = [f"n1-0-n{index}" for index in range(5)]


def test_of_each_node_of_an_execution_a_look_sends_few_requests(
    s3_bucket: str, s3_filesystem: Any, s3_server: Seaweed, s3_proxy: FaultProxy, options: list[str]
) -> None:
    execution = f"s3://{s3_bucket}/{uuid.uuid4().hex}/_ckptptr/p/d/exec"
    for name in NAMES:
        with ckptptr.open(f"{execution}/{name}", filesystem=s3_filesystem, attempt=0) as checkpoints:
            for step in range(5):
                checkpoints.save(b"state", step=step)

    def requests(*arguments: str) -> Counter[str]:
        """How many there were of each kind, for each node."""
        s3_proxy.reset()
        with on_the_command_line(
            key=s3_server.access_key, secret=s3_server.secret_key, endpoint_url=s3_proxy.endpoint
        ) as through_the_proxy:
            run_json(*arguments, execution, *through_the_proxy)
        kinds = Counter(_kind(seen.path) for seen in s3_proxy.log if "_ckptptr%2F" not in seen.path)
        return Counter({kind: count // len(NAMES) for kind, count in kinds.items()})

    one_each = {"LATEST": 1, "list": 1}
    assert requests("verify") == one_each | {"manifest": 1}
    assert requests("sweep", "--dry-run") == one_each | {"manifest": 4}  # three are kept, one has expired
    swept = run_json("sweep", execution, "--yes", *options)["swept"]
    assert len(swept) == len(NAMES)  # and not one each that its run has deleted, which LATEST still lists
    left = s3_filesystem.find(execution.partition("_ckptptr")[0])
    assert len(left) == len(NAMES) * (1 + 3 + 1)  # LATEST, three manifests, and the file that all three share


def _kind(path: str) -> str:
    return "list" if "list-type=2" in path else "LATEST" if path.endswith("/LATEST") else "manifest"
