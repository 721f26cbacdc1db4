"""S3 stores for the tests: straight to the server, and through the proxy."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ckptptr.clock import Patience, SystemClock
from ckptptr.stores.s3.store import S3Store
from tests.servers.proxy import FaultProxy
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed

PART = 5 * 1024 * 1024  # the smallest that S3 takes


@pytest.fixture
def folder(s3_bucket: str) -> str:
    return f"{s3_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def store(s3_filesystem: Any) -> S3Store:
    """Straight to the server."""
    return S3Store(s3_filesystem, block_size=PART, copy_part_size=PART)


@pytest.fixture
def proxied(s3_proxied: Any) -> S3Store:
    """Through the proxy."""
    return S3Store(s3_proxied, block_size=PART, copy_part_size=PART)


@pytest.fixture
def impatient(s3_server: Seaweed, s3_proxy: FaultProxy) -> Iterator[S3Store]:
    """Through the proxy, with one retry only and a second to answer in."""
    settings = {"read_timeout": 1, "retries": {"max_attempts": 1}}
    with open_filesystem(s3_server, s3_proxy.endpoint, config_kwargs=settings) as filesystem:
        yield S3Store(filesystem, block_size=PART, copy_part_size=PART)


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry comes at once; obstore, whose pauses are its own, makes none."""
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: None)
    monkeypatch.setattr(Patience, "pause", lambda *_: 0.0)
    if sys.version_info >= (3, 11):
        from ckptptr.stores.obstore.lend_azure import AzureLender
        from ckptptr.stores.obstore.lend_gcs import GCSLender
        from ckptptr.stores.obstore.lend_s3 import S3Lender

        for lender in (S3Lender, GCSLender, AzureLender):
            monkeypatch.setitem(lender.__init__.__kwdefaults__, "patience", Patience(tries=1))
