"""s3fs filesystems that close what they opened."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import s3fs
from aiobotocore.session import AioSession
from fsspec.asyn import sync

from tests.servers.seaweed import Seaweed

ACCOUNT = "123456789012"
ARN = f"arn:aws:s3:us-east-1:{ACCOUNT}:accesspoint"

_MODELS = AioSession().get_component("data_loader")
"""Amazon's description of S3: to read it takes 70 ms of CPU, for each client that has no part in this one."""


@contextmanager
def open_filesystem(server: Seaweed, endpoint: str | None, **options: Any) -> Iterator[Any]:
    """A filesystem with the server's credentials that talks to `endpoint`, the server's or a proxy's."""
    session = AioSession()
    session.register_component("data_loader", _MODELS)
    filesystem = s3fs.S3FileSystem(
        session=session,
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=endpoint,
        use_listings_cache=False,
        skip_instance_cache=True,
        **options,
    )
    try:
        yield filesystem
    finally:
        # Its own finalizer gives the connections 0.1 s to close and then leaves them to the collector.
        sync(filesystem.loop, filesystem.s3.close)


def access_point(filesystem: Any) -> str:
    """The name of one: the server has a bucket for its host, `<name>-<account>.<endpoint>`."""
    name = f"point-{uuid.uuid4().hex[:8]}"
    filesystem.call_s3("create_bucket", Bucket=f"{name}-{ACCOUNT}")
    return name
