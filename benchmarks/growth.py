"""How cost grows: a restore with the attempts before it, a checkpoint with the number of its files;
and what a forward copy sends through this machine."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ckptptr
from benchmarks.places import started
from benchmarks.rows import MIB, Row, write
from benchmarks.worker import Worker
from tests.servers.proxy import FaultProxy

ATTEMPTS = (1, 10, 100)
FILES = (10, 100, 1000, 10_000)
HUGE = 4 << 30


def measure() -> dict[str, Any]:
    """On S3, requests counted by a proxy; files on a local disk, where only our own cost is left."""
    with (
        started("s3") as place,
        FaultProxy(f"http://127.0.0.1:{place.port}") as proxy,
        _environ(place.environ(proxy.port)),
        tempfile.TemporaryDirectory() as scratch,
    ):
        return {
            "attempts": _attempts(place.root, proxy, Path(scratch)),
            "forward_copy": _forward_copy(place.root, proxy, Path(scratch)),
            "files": _files(Path(scratch)),
            "memory": _memory(Path(scratch)),
        }


def _attempts(root: str, proxy: FaultProxy, scratch: Path) -> list[dict[str, Any]]:
    found, url = [], f"{root}/attempts"
    for attempt in range(max(ATTEMPTS)):
        with ckptptr.open(url, attempt=attempt) as checkpoints:
            checkpoints.save(b"x", step=attempt)
        if attempt + 1 in ATTEMPTS:
            with ckptptr.open(url, attempt=attempt, read_only=True) as reader:
                proxy.reset()
                reader.restore(scratch / f"attempt-{attempt}")
                found.append({"attempts": attempt + 1, "requests": [seen.method for seen in proxy.log]})
    return found


def _forward_copy(root: str, proxy: FaultProxy, scratch: Path) -> dict[str, int]:
    url, row = f"{root}/forward", Row("", 4, 32 * MIB)
    write(row, scratch / "payload")
    with ckptptr.open(url, attempt=0) as checkpoints:
        checkpoints.save(scratch / "payload")
    with ckptptr.open(url, attempt=1) as checkpoints:
        checkpoints.save(b"x")  # so that what is restored next is not what LATEST names
        earlier = checkpoints.history()[1].reference
    with ckptptr.open(url, attempt=2) as checkpoints:
        _hold(url, earlier)
        checkpoints.restore(scratch / "restored")
        proxy.reset()
        checkpoints.wait()
        log = proxy.log
    return {
        "payload": row.bytes,
        "requests": len(log),
        "sent": sum(seen.received for seen in log),
        "received": sum(seen.sent for seen in log),
    }


def _hold(url: str, reference: str) -> None:
    from ckptptr.stores import open_store

    store, key = open_store(url)
    _, token = store.read(f"{key}/LATEST")
    store.replace(f"{key}/LATEST", reference.encode(), token)


def _files(scratch: Path) -> list[dict[str, Any]]:
    found = []
    for count in FILES:
        source = scratch / f"files-{count}"
        write(Row("", count, 100), source)
        with ckptptr.open(str(scratch / f"store-{count}"), attempt=0) as checkpoints:
            began = time.perf_counter()
            checkpoints.save(source)
            saved = time.perf_counter()
            checkpoints.restore(scratch / f"restored-{count}")
            restored = time.perf_counter()
        found.append({"files": count, "save": saved - began, "restore": restored - saved})
    return found


def _memory(scratch: Path) -> dict[str, int]:
    """A file larger than any buffer: what a save and a restore hold at most, above the interpreter."""
    source, target = scratch / "huge.bin", scratch / "huge"
    with source.open("wb") as file:
        file.truncate(HUGE)
    target.mkdir()
    with Worker("ckptptr (fsspec)", str(scratch), {}) as worker:
        found = {"bytes": HUGE}
        for operation, path in (("save", source), ("restore", target)):
            worker.prepare(operation, "huge-store")
            found[operation] = worker.run(operation, path, "huge-store").peak
    return found


@contextmanager
def _environ(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
