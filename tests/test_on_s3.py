"""The whole thing on a real S3 server, request by request as the server sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers


@pytest.fixture
def url(s3_bucket: str, tmp_path: Path) -> str:
    return f"s3://{s3_bucket}/{tmp_path.name}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    (made / "model").write_bytes(b"step 0")
    return made


def asked(proxy: FaultProxy, url: str) -> list[str]:
    """`GET LATEST`, `PUT data`, `LIST manifests`: what went over the wire, in short."""
    place = url.removeprefix("s3://")
    short = []
    for seen in proxy.log:
        is_list = "list-type=2" in seen.path
        key = seen.path.split("prefix=")[-1] if is_list else seen.path.split("?")[0]
        kinds = [kind for kind in ("LATEST", "manifests", "data", "claims") if kind in key.split(place)[-1]]
        short.append(f"{'LIST' if is_list else seen.method} {kinds[0] if kinds else key}")
    return short


@pytest.fixture
def run(s3_proxied: Any, url: str) -> Iterator[Any]:
    opened: list[ckptptr.Checkpoints] = []

    def open_attempt(number: int) -> ckptptr.Checkpoints:
        opened.append(ckptptr.open(url, attempt=number, filesystem=s3_proxied))
        return opened[-1]

    yield open_attempt
    for checkpoints in opened:
        checkpoints.close()


def test_a_save_costs_two_control_requests(run: Any, url: str, folder: Path, s3_proxy: FaultProxy) -> None:
    checkpoints = run(0)
    checkpoints.save(folder)
    for step in range(1, 3):
        (folder / "model").write_bytes(f"step {step}".encode())
        checkpoints.wait()
        s3_proxy.reset()
        checkpoints.save(folder, step=step)
        assert asked(s3_proxy, url) == ["PUT data", "PUT manifests", "PUT LATEST"]


@pytest.mark.parametrize("attempt", [1, 100])
def test_a_restore_through_latest_costs_two_control_requests_and_no_list(
    run: Any, url: str, folder: Path, s3_proxy: FaultProxy, tmp_path: Path, attempt: int
) -> None:
    first = run(0)
    first.save(folder)
    first.wait()
    later = run(attempt)
    s3_proxy.reset()
    assert later.restore(tmp_path / "restored")
    assert asked(s3_proxy, url) == ["GET LATEST", "GET manifests", "GET data"]
    assert (tmp_path / "restored" / "model").read_bytes() == b"step 0"


def test_a_forward_copy_sends_no_payload_byte_through_here(
    run: Any, url: str, folder: Path, s3_proxy: FaultProxy, s3_filesystem: Any, tmp_path: Path
) -> None:
    (folder / "model").write_bytes(b"x" * 300_000)
    first = run(0)
    first.save(folder)
    first.wait()
    s3_filesystem.rm_file(f"{url}/LATEST")
    later = run(1)
    s3_proxy.reset()
    later.restore(tmp_path / "restored")
    later.wait()
    copies = [seen for seen in s3_proxy.log if "/attempts/1/data/" in seen.path and seen.method == "PUT"]
    assert len(copies) == 1
    assert copies[0].received == 0
    assert later.history()[0].attempt == 1


@pytest.mark.parametrize("target", ["LATEST", "manifests/"])
def test_a_save_whose_reply_is_lost_is_confirmed_by_reading_back(
    run: Any, folder: Path, s3_proxy: FaultProxy, target: str
) -> None:
    checkpoints = run(0)
    checkpoints.save(folder, step=1)
    checkpoints.wait()
    (folder / "model").write_bytes(b"step 2")
    s3_proxy.add(Rule(method="PUT", path=target, drop="after", times=1))
    saved = checkpoints.save(folder, step=2)
    assert [entry.step for entry in checkpoints.history()] == [2, 1]
    assert checkpoints.history()[0].reference == saved.reference


def test_a_corrupted_download_is_noticed_and_fetched_again(
    run: Any, folder: Path, s3_proxy: FaultProxy, tmp_path: Path
) -> None:
    run(0).save(folder)
    later = run(1)
    s3_proxy.add(Rule(method="GET", path="/data/", corrupt=True, times=1))
    assert later.restore(tmp_path / "restored")
    assert (tmp_path / "restored" / "model").read_bytes() == b"step 0"
    assert later.resolution is not None
    assert later.resolution.rejected == ()


def test_a_payload_of_many_blocks_comes_back_whole(run: Any, folder: Path, tmp_path: Path) -> None:
    content = bytes(range(256)) * (40 * 4096)  # 40 MiB: three blocks up, three ranges down
    (folder / "large").write_bytes(content)
    run(0).save(folder)
    run(1).restore(tmp_path / "restored")
    assert (tmp_path / "restored" / "large").read_bytes() == content
