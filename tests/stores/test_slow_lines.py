"""A save and a restore on a line that is slow or dead, on each cloud, through `ckptptr.open`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.clock import Patience
from ckptptr.errors import StoreUnavailableError
from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.line import Line
from ckptptr.stores.port import Store
from ckptptr.stores.s3.store import S3Store
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("no_waiting")]

MIB = 1024 * 1024
CLOUDS = {
    "s3": ("s3", "s3_bucket", "s3_proxied", "s3_proxy"),
    "gcs": ("gs", "gcs_bucket", "gcs_proxied", "gcs_proxy"),
    "azure": ("abfs", "azure_container", "azure_proxied", "azure_proxy"),
}
WAYS = [(cloud, engine) for cloud in CLOUDS for engine in ("fsspec", "obstore")]
LARGE = 4 * 8 * MIB


@dataclass
class Run:
    """A checkpoint store behind a proxy whose line a test sets, and a folder to save.

    `line` is what its uploads know of that line.
    """

    url: str
    proxy: FaultProxy
    line: Line
    folder: Path

    def open(self) -> ckptptr.Checkpoints:
        return ckptptr.open(self.url)

    def train(self, step: int) -> None:
        (self.folder / "large").write_bytes(step.to_bytes(4, "big") * (LARGE // 4))
        (self.folder / f"small{step}").write_bytes(bytes(MIB))


def store_on(cloud: str, engine: str, filesystem: Any, line: Line) -> Store:
    """What `open_store` opens, with that line, and with few retries."""
    if cloud == "s3":
        filesystem.config_kwargs["read_timeout"] = line.answer
        store: Store = S3Store(filesystem, line=line)
    elif cloud == "gcs":
        store = GCSStore(filesystem, patience=Patience(tries=2), answer=line.answer, line=line)
    else:
        filesystem._timeout_kwargs["read_timeout"] = line.answer
        store = AzureStore(filesystem, line=line)
    if engine == "fsspec":
        return store
    pytest.importorskip("obstore")
    from ckptptr.stores.obstore.fast import FastLane
    from ckptptr.stores.obstore.lend_azure import AzureLender
    from ckptptr.stores.obstore.lend_gcs import GCSLender
    from ckptptr.stores.obstore.lend_s3 import S3Lender
    from ckptptr.stores.obstore.store import ObstoreStore

    lender = {"s3": S3Lender, "gcs": GCSLender, "azure": AzureLender}[cloud]
    lent = lender(filesystem, patience=Patience(tries=1), answer=line.answer)
    return FastLane(store, ObstoreStore(lent, line=line))


@pytest.fixture(params=WAYS, ids="-".join)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Where an answer may take a second, and what goes at once has to arrive in half of one."""
    cloud, engine = request.param
    scheme, bucket, filesystem, proxy = (request.getfixturevalue(n) if "_" in n else n for n in CLOUDS[cloud])
    line = Line(1.0, in_time=0.5, slowest=MIB)
    store, key = store_on(cloud, engine, filesystem, line), f"{bucket}/{uuid.uuid4().hex}"
    monkeypatch.setattr("ckptptr.standalone.open_store", lambda *_, **__: (store, key))
    (tmp_path / "saved").mkdir()
    yield Run(f"{scheme}://{key}", proxy, line, tmp_path / "saved")
    proxy.reset()


def test_a_slow_line_is_waited_for_and_less_goes_at_once_from_then_on(run: Run, tmp_path: Path) -> None:
    with run.open() as checkpoints:
        busiest = []
        for step in (1, 2):
            run.train(step)
            run.proxy.reset()
            run.proxy.line = 12 * MIB
            checkpoints.save(run.folder, step=step)
            busiest.append(run.proxy.busiest)
        assert busiest[1] <= min(2, busiest[0])
        run.proxy.reset()
        run.proxy.line = 24 * MIB
        checkpoints.restore(tmp_path / "restored")
    for path in run.folder.iterdir():
        assert (tmp_path / "restored" / path.name).read_bytes() == path.read_bytes()


def test_a_line_that_dies_under_way_ends_the_save_with_what_was_sent_and_the_cure(run: Run) -> None:
    run.line.in_time = 60.0  # all of it goes at once, on a busy machine too
    with run.open() as checkpoints:
        run.train(1)
        checkpoints.save(run.folder, step=1)
        run.train(2)
        run.line.slowest = 64 * MIB
        run.proxy.reset()
        for size in (2 * MIB, 5 * MIB, 8 * MIB, 16 * MIB):  # of obstore's parts, and of the SDKs'
            run.proxy.fail(method="PUT", headers={"Content-Length": str(size)}, hang=True, times=None)
        begun = time.monotonic()
        words = (
            r"no answer to \w+.* \(nothing in \d+ s, with \d+ MiB under way at once\);"
            r" 32 of 32 MiB were sent or under way: .*The line is slow"
        )
        with pytest.raises(StoreUnavailableError, match=words):
            checkpoints.save(run.folder, step=2)
        assert time.monotonic() - begun < 60
        run.proxy.reset()
        run.line.slowest = MIB
        checkpoints.save(run.folder, step=3)
        assert [saved.step for saved in checkpoints.history()] == [3, 1]
