"""A save and a restore on a line that is slow or dead, on each cloud, through `ckptptr.open`."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.clock import Patience
from ckptptr.errors import StoreUnavailableError
from ckptptr.settings import ENGINE
from ckptptr.stores import line
from ckptptr.stores.gcs.store import GCSStore
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
    """A checkpoint store behind a proxy whose line a test sets, and a folder to save."""

    proxy: FaultProxy
    folder: Path
    open: Callable[[], Any]

    def train(self, step: int) -> None:
        (self.folder / "large").write_bytes(step.to_bytes(4, "big") * (LARGE // 4))
        (self.folder / f"small{step}").write_bytes(bytes(MIB))


@pytest.fixture(params=WAYS, ids="-".join)
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Where an answer may take a second, and what goes at once has to arrive in half of one."""
    cloud, engine = request.param
    if engine == "obstore":
        pytest.importorskip("obstore")
    if sys.version_info >= (3, 11):
        from ckptptr.stores.obstore.lend_azure import AzureLender
        from ckptptr.stores.obstore.lend_gcs import GCSLender
        from ckptptr.stores.obstore.lend_s3 import S3Lender

        for lender in (S3Lender, GCSLender, AzureLender):
            monkeypatch.setitem(lender.__init__.__kwdefaults__, "answer", 1.0)
    for name, value in {"patience": Patience(tries=2), "answer": 1.0}.items():
        monkeypatch.setitem(GCSStore.__init__.__kwdefaults__, name, value)
    monkeypatch.setenv(ENGINE.name, engine)
    monkeypatch.setattr(line, "IN_TIME", 0.5)
    monkeypatch.setattr(line, "SLOWEST", MIB)
    scheme, bucket, filesystem, proxy = (request.getfixturevalue(n) if "_" in n else n for n in CLOUDS[cloud])
    if cloud == "s3":
        filesystem.config_kwargs["read_timeout"] = 1
    if cloud == "azure":
        filesystem._timeout_kwargs["read_timeout"] = 1
    url = f"{scheme}://{bucket}/{uuid.uuid4().hex}"
    (tmp_path / "saved").mkdir()
    yield Run(proxy, tmp_path / "saved", lambda: ckptptr.open(url, filesystem=filesystem))
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


def test_a_line_that_dies_under_way_ends_the_save_with_what_was_sent_and_the_cure(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "IN_TIME", 60.0)  # all of it goes at once, on a busy machine too
    with run.open() as checkpoints:
        run.train(1)
        checkpoints.save(run.folder, step=1)
        run.train(2)
        monkeypatch.setattr(line, "SLOWEST", 64 * MIB)
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
        monkeypatch.setattr(line, "SLOWEST", MIB)
        checkpoints.save(run.folder, step=3)
        assert [saved.step for saved in checkpoints.history()] == [3, 1]
