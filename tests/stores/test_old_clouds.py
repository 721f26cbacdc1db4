"""`ckptptr.open` on servers like Google's and Azure's that take no conditions, or lose the last reply.

Deletions of many objects in one request are sent to S3 only: the rest is in `s3/test_old_servers.py`.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.settings import ENGINE, GUARANTEE
from ckptptr.stores.open import open_store
from ckptptr.stores.port import UploadGoneError
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers

LARGE = bytes(range(256)) * (17 << 12)  # 17 MiB: too large for one request


@pytest.fixture(autouse=True)
def unassumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(GUARANTEE.name, raising=False)
    monkeypatch.setenv(ENGINE.name, "auto")


def live(url: str, filesystem: Any, scratch: Path) -> None:
    """Save twice, and restore in the next attempt."""
    state = scratch / "state"
    state.mkdir()
    with ckptptr.open(url, attempt=0, filesystem=filesystem) as run:
        for step in (1, 2):
            (state / "large").write_bytes(b"%d" % step + LARGE)
            run.save(state, step=step)
    with ckptptr.open(url, attempt=1, filesystem=filesystem) as run:
        assert run.restore(scratch / "restored")
    assert (scratch / "restored/large").read_bytes() == b"2" + LARGE


@pytest.mark.parametrize("status", [400, 501])
def test_azures_look_alikes_without_conditions(
    azure_proxied: Any,
    azure_proxy: FaultProxy,
    azure_container: str,
    tmp_path: Path,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, text in (("If-None-Match", "*"), ("If-Match", '"')):
        azure_proxy.add(
            Rule(method="PUT", headers={name: text}, status=status, code="UnsupportedHeader", times=None)
        )
    live(f"abfs://{azure_container}/{uuid.uuid4().hex}", azure_proxied, tmp_path)
    assert "does not support conditional writes" in caplog.text


@pytest.mark.parametrize("status", [400, 501])
def test_googles_look_alikes_without_conditions(
    gcs_proxied: Any,
    gcs_proxy: FaultProxy,
    gcs_bucket: str,
    tmp_path: Path,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    gcs_proxy.add(Rule(method="POST", path="ifGenerationMatch", status=status, body="{}", times=None))
    live(f"gs://{gcs_bucket}/{uuid.uuid4().hex}", gcs_proxied, tmp_path)
    assert "does not support conditional writes" in caplog.text


def test_a_resumable_upload_whose_last_reply_was_lost_and_whose_session_is_forgotten(
    gcs_proxied: Any, gcs_proxy: FaultProxy, gcs_bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = f"bytes 16777216-{len(LARGE)}/{len(LARGE) + 1}"
    gcs_proxy.add(Rule(method="PUT", headers={"Content-Range": last}, drop="after"))
    gcs_proxy.add(Rule(method="PUT", headers={"Content-Range": "bytes */"}, status=404, body="{}"))
    live(f"gs://{gcs_bucket}/{uuid.uuid4().hex}", gcs_proxied, tmp_path)
    assert "forgotten the upload" in caplog.text


@pytest.mark.skipif(sys.version_info < (3, 11), reason="obstore needs Python 3.11")
def test_obstore_says_so_too_of_google_and_the_object_is_there(
    gcs_proxied_settings: dict[str, Any], gcs_proxy: FaultProxy, gcs_bucket: str
) -> None:
    key = f"{gcs_bucket}/{uuid.uuid4().hex}/x"
    store, _ = open_store(f"gs://{key}", settings=gcs_proxied_settings)
    gcs_proxy.add(Rule(method="POST", path="uploadId", drop="after"))
    gcs_proxy.add(Rule(method="POST", path="uploadId", status=404, code="NoSuchUpload"))
    with pytest.raises(UploadGoneError, match="forgotten the upload"):
        store.upload(key, [LARGE[: 8 << 20], LARGE[8 << 20 :]])
    assert [entry.size for entry in store.list(key.rpartition("/")[0])] == [len(LARGE)]
