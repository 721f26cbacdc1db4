"""The commands on a real S3 server: options on the command line, and what only S3 has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.asyn import sync

import ckptptr
from tests.cli.conftest import run_json
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.servers


@pytest.fixture
def run_on_s3(s3_bucket: str, s3_filesystem: Any) -> str:
    """A run outside Flyte with one checkpoint; its URL."""
    url = f"s3://{s3_bucket}/{uuid.uuid4().hex}/run"
    with ckptptr.open(url, filesystem=s3_filesystem) as checkpoints:
        checkpoints.save(b"state", step=1)
    return url


@pytest.fixture
def options(s3_server: Seaweed) -> Iterator[list[str]]:
    """The command-line options that lead to the server."""
    pairs = {"key": s3_server.access_key, "secret": s3_server.secret_key, "endpoint_url": s3_server.endpoint}
    yield [word for name, value in pairs.items() for word in ("--storage-option", f"{name}={value}")]
    made = fsspec.filesystem("s3", use_listings_cache=False, **pairs)  # the instance that fsspec has cached
    sync(made.loop, made.s3.close)


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
