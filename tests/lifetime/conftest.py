"""A run on S3, through the proxy, for a process of its own and for the test."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

import ckptptr
from tests.servers.proxy import FaultProxy
from tests.servers.seaweed import Seaweed


@dataclass(frozen=True)
class OnS3:
    """`environ` is what a process needs to reach `url`."""

    url: str
    environ: Mapping[str, str]
    proxy: FaultProxy
    filesystem: Any

    def steps(self) -> set[int | None]:
        """Those that LATEST names."""
        self.proxy.reset()
        run = ckptptr.open(self.url, read_only=True, filesystem=self.filesystem)
        return {checkpoint.step for checkpoint in run.history()}


@pytest.fixture
def on_s3(s3_server: Seaweed, s3_proxy: FaultProxy, s3_bucket: str, s3_filesystem: Any) -> OnS3:
    environ = {
        "AWS_ACCESS_KEY_ID": s3_server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
        "AWS_ENDPOINT_URL": s3_proxy.endpoint.replace("127.0.0.1", "localhost"),  # a name to look up
        "AWS_DEFAULT_REGION": "us-east-1",
        "CKPTPTR_GUARANTEE": "compare-and-swap",
    }
    return OnS3(f"s3://{s3_bucket}/run-{uuid.uuid4().hex[:8]}", environ, s3_proxy, s3_filesystem)
