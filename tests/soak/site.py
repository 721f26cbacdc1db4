"""Where a story happens: a folder of a bucket or a disk, whose requests are counted."""

from __future__ import annotations

import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import ckptptr
from ckptptr.stores.open import filesystem_at, open_store
from ckptptr.stores.port import Store
from ckptptr.testing import FaultyStore
from ckptptr.testing.faults import Op, Request
from tests.servers.gcs import MiniGCS
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed


@dataclass(frozen=True)
class Site:
    """`url` is that of the folder; `scratch` is for local files; `options` are those of fsspec."""

    url: str
    scratch: Path
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def filesystem(self) -> Any:
        """One for the whole process, as flytekit has it; None on a disk."""
        return filesystem_at(self.url, self.options)[0] if self.options else None

    def open(self, name: str, **settings: Any) -> ckptptr.Checkpoints:
        """The checkpoints of that name."""
        return ckptptr.open(f"{self.url}/{name}", filesystem=self.filesystem, **settings)

    def raw(self) -> tuple[Store, str]:
        """The store of the folder, not counted, and its key."""
        with mock.patch("ckptptr.stores.open._around", []):
            return open_store(self.url, filesystem=self.filesystem)

    def objects(self) -> int:
        store, key = self.raw()
        return sum(1 for _ in store.list(key))

    def temporary(self) -> int:
        """Files and folders that are left in the temporary folder."""
        return sum(1 for _ in self._temporary.rglob("*"))

    @property
    def _temporary(self) -> Path:
        return self.scratch / "temporary"

    @contextmanager
    def counted(self) -> Iterator[list[Request]]:
        """All requests of this process inside the block, but for those of `raw`. May be emptied."""
        log: list[Request] = []

        def around(store: Store) -> Store:
            counting = _Counted(store)
            counting.log = log
            return counting

        self._temporary.mkdir(parents=True, exist_ok=True)
        with (
            mock.patch("ckptptr.stores.open._around", [around]),
            mock.patch("tempfile.tempdir", str(self._temporary)),
        ):
            yield log

    def folder(self, name: str, **files: str) -> Path:
        """A local folder with just these files."""
        folder = self.scratch / name
        folder.mkdir(exist_ok=True)
        for path, text in files.items():
            (folder / path).write_text(text)
        return folder


class _Counted(FaultyStore):
    """It forgets which save a request belongs to: that would be kept for each save."""

    def _start(self, op: Op, key: str, body: bytes = b"") -> None:  # noqa: ARG002 - as the one below
        self.log.append(Request(0, op, key))


def kinds(log: list[Request]) -> Counter[str]:
    """How many requests of each kind; the log is empty then."""
    counted = Counter(request.op for request in log)
    log.clear()
    return Counter({str(kind): count for kind, count in counted.items()})


@contextmanager
def on_s3() -> Iterator[Site]:
    """A bucket of a real server, of which this process is no client."""
    with Seaweed() as server, tempfile.TemporaryDirectory() as scratch:
        bucket = f"soak-{uuid.uuid4().hex[:12]}"
        with open_filesystem(server, server.endpoint) as filesystem:
            filesystem.call_s3("create_bucket", Bucket=bucket)
        keys = {"key": server.access_key, "secret": server.secret_key, "endpoint_url": server.endpoint}
        yield Site(f"s3://{bucket}/soak", Path(scratch), keys)


@contextmanager
def on_gcs() -> Iterator[Site]:
    """A bucket of a server that knows no folders, as the clouds."""
    with MiniGCS() as server, tempfile.TemporaryDirectory() as scratch:
        server.make_bucket("soak")
        options = {"endpoint_url": server.endpoint, "token": "anon", "project": "test"}
        yield Site("gs://soak/soak", Path(scratch), options)


@contextmanager
def on_disk() -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        yield Site(f"{folder}/store", Path(folder))
