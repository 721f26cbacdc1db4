"""A run outside Flyte behind a gateway that answers in the store's place: its pages end no checkpoint."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import StoreUnavailableError
from ckptptr.settings import ENGINE, GUARANTEE
from ckptptr.testing.conformance.faults import GATEWAY_PAGES
from tests.helpers import read_folder
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("no_waiting")]

CLOUDS = {
    "s3": ("s3", "s3_bucket", "s3_proxied", "s3_proxy"),
    "gcs": ("gs", "gcs_bucket", "gcs_proxied", "gcs_proxy"),
    "azure": ("abfs", "azure_container", "azure_proxied", "azure_proxy"),
}


@pytest.fixture(params=[(cloud, engine) for cloud in CLOUDS for engine in ("fsspec", "obstore")])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    chosen, engine = request.param
    if engine == "obstore":
        pytest.importorskip("obstore")
    monkeypatch.setenv(ENGINE.name, engine)
    return CLOUDS[chosen]


@pytest.fixture
def proxy(request: pytest.FixtureRequest, cloud: tuple[str, ...]) -> FaultProxy:
    found: FaultProxy = request.getfixturevalue(cloud[3])
    return found


@pytest.fixture
def reopened(request: pytest.FixtureRequest, cloud: tuple[str, ...]) -> Callable[[], Any]:
    """A new process of a run that has saved once."""
    scheme, bucket, filesystem, _ = cloud
    url = f"{scheme}://{request.getfixturevalue(bucket)}/{uuid.uuid4().hex}"
    through = request.getfixturevalue(filesystem)
    with ckptptr.open(url, filesystem=through) as first:
        first.save(b"days of work", step=1)
    return lambda: ckptptr.open(url, attempt=1, filesystem=through)


@pytest.mark.parametrize(
    ("status", "page"),
    [*((404, page) for page in GATEWAY_PAGES), (200, GATEWAY_PAGES[0]), (412, GATEWAY_PAGES[1])],
)
def test_pages_that_stay_end_as_an_error_and_change_nothing(
    reopened: Callable[[], Any], proxy: FaultProxy, tmp_path: Path, status: int, page: str
) -> None:
    with reopened() as checkpoints:
        proxy.reset()
        proxy.fail(status=status, body=page, code="", times=None)
        with pytest.raises(StoreUnavailableError):
            checkpoints.restore(tmp_path)
        with pytest.raises(StoreUnavailableError):
            checkpoints.save(b"from scratch", step=0)
        proxy.reset()
        checkpoints.restore(tmp_path)
        assert "days of work" in read_folder(tmp_path).values()
        assert checkpoints.latest.step == 1


def test_pages_that_pass_are_waited_for(
    reopened: Callable[[], Any], proxy: FaultProxy, tmp_path: Path
) -> None:
    with reopened() as checkpoints:
        for status, path in ((404, "LATEST"), (404, "manifests"), (416, "data")):
            proxy.fail(method="GET", path=path, status=status, body=GATEWAY_PAGES[0], code="")
        checkpoints.restore(tmp_path)
        assert "days of work" in read_folder(tmp_path).values()
        proxy.fail(method="PUT|POST", path="LATEST", status=412, body=GATEWAY_PAGES[0], code="")
        checkpoints.save(b"a day more", step=2)
        assert [saved.step for saved in checkpoints.history()] == [2, 1]


def test_a_page_is_no_reason_to_write_over_latest_where_the_last_writer_wins(
    reopened: Callable[[], Any], proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(GUARANTEE.name, "last-writer-wins")
    with reopened() as checkpoints:
        proxy.fail(method="GET", path="LATEST", status=404, body=GATEWAY_PAGES[0], code="", times=None)
        with pytest.raises(StoreUnavailableError):
            checkpoints.save(b"from scratch", step=0)
        proxy.reset()
        assert checkpoints.latest.step == 1
