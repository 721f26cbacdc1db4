"""`ckptptr.open` at an access point of S3, which stands in place of a bucket. AWS has a host for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.open import open_store
from ckptptr.stores.urls import bucket_of
from tests.servers.s3 import ACCOUNT, ARN, access_point, open_filesystem
from tests.servers.seaweed import Seaweed


@pytest.fixture
def filesystem(s3_server: Seaweed) -> Iterator[Any]:
    with open_filesystem(s3_server, f"http://localhost:{s3_server.port}") as filesystem:
        yield filesystem


@pytest.mark.servers
@pytest.mark.usefixtures("names_below_localhost")
@pytest.mark.parametrize("engine", ["fsspec", "auto"])
@pytest.mark.parametrize("separator", "/:")
def test_it_takes_the_place_of_a_bucket(
    filesystem: Any,
    s3_filesystem: Any,
    tmp_path: Path,
    separator: str,
    engine: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", engine)
    point = access_point(s3_filesystem)
    url = f"s3://{ARN}{separator}{point}/run"
    (tmp_path / "state").write_bytes(b"1" * (17 << 20))
    with ckptptr.open(url, attempt=0, filesystem=filesystem) as run:
        run.save(tmp_path / "state", step=1)
    with ckptptr.open(url, attempt=1, filesystem=filesystem) as run:
        assert run.restore(tmp_path / "restored")
        run.wait()
        assert run.latest.step == 1
    other = f"s3://{ARN}{'/:'.replace(separator, '')}{point}/run"
    with ckptptr.open(f"{url}-2", attempt=0, filesystem=filesystem, seed=other) as run:
        assert run.restore(tmp_path / "seeded")
    for name in ("restored", "seeded"):
        assert (tmp_path / name / "state").read_bytes() == b"1" * (17 << 20)
    assert s3_filesystem.exists(f"{point}-{ACCOUNT}/run/LATEST")


@pytest.mark.parametrize(
    ("url", "bucket"),
    [
        (f"s3://{ARN}/point/data/x", f"s3://{ARN}/point"),
        (f"s3://{ARN}:point/data/x", f"s3://{ARN}:point"),
        ("s3://bucket/data", "s3://bucket"),
        (
            "abfs://container@account.dfs.core.windows.net/data",
            "abfs://container@account.dfs.core.windows.net",
        ),
        ("file:///data", ""),
        ("/data", ""),
    ],
)
def test_the_bucket_of_a_url_is_what_stands_before_the_path(url: str, bucket: str) -> None:
    assert bucket_of(url) == bucket


def test_obstore_alone_says_that_it_cannot() -> None:
    with pytest.raises(InvalidArgumentError, match="takes no ARN of an access point"):
        open_store(f"s3://{ARN}/point/run", settings={})


@pytest.mark.parametrize(
    "url",
    [
        "s3://arn:aws:s3:us-east-1:12:accesspoint/point/run",
        "s3://arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/point/run",
        "gs://arn:aws:s3:us-east-1:123456789012:accesspoint/point/run",
    ],
)
def test_what_only_looks_like_one_is_no_bucket_either(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no valid bucket name"):
        open_store(url, settings={})
