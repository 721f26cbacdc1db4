"""Buckets of a real S3 server, by both engines: s3fs alone, and with obstore for the payload."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ckptptr.settings import ENGINE, GUARANTEE
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed

Served = Callable[[str], tuple[Store, str]]
"""Makes a bucket of its own for a kind of store, one of `ENGINES`: the store, and the name of the bucket."""

ENGINES = {"s3fs": "fsspec", "obstore on S3": "obstore"}


@contextmanager
def buckets_on_s3() -> Iterator[Served]:
    with Seaweed() as server, open_filesystem(server, server.endpoint) as filesystem:
        numbers = itertools.count(1)
        os.environ[GUARANTEE.name] = "compare-and-swap"

        def made(kind: str) -> tuple[Store, str]:
            bucket = f"history-{next(numbers)}"
            filesystem.call_s3("create_bucket", Bucket=bucket)
            os.environ[ENGINE.name] = ENGINES[kind]
            return open_store(f"s3://{bucket}/x", filesystem=filesystem)[0], bucket

        yield made
