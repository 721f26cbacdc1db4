"""Flyte 2's own configuration reaches the store, and its storage module breaks nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.open import filesystem_at
from tests.flyte2.contexts import checkpoint
from tests.flyte2.places import Place
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.seaweed import Seaweed

BEFORE = "import flyte.storage; import ckptptr"
AFTER = "import ckptptr; ckptptr.open('memory://b/x', attempt=0); import s3fs; import flyte.storage"
READS = """
import sys, json
url, options = sys.argv[1], json.loads(sys.argv[2])
with ckptptr.open(url, storage_options=options) as checkpoints:
    checkpoints.save(b"state", step=3)
with ckptptr.open(url, storage_options=options, read_only=True) as checkpoints:
    print(checkpoints.latest.step, checkpoints.open().read())
from ckptptr.inspect.target import locate
print(locate(url, storage_options=options).changed_at is not None)
"""


@pytest.mark.parametrize("imports", [BEFORE, AFTER], ids=["flyte.storage before", "flyte.storage after"])
def test_ckptptr_open_works_beside_flytes_storage_which_replaces_fsspecs_filesystems(
    s3_server: Seaweed, s3_bucket: str, imports: str, tmp_path: Path
) -> None:
    options = {
        "key": s3_server.access_key,
        "secret": s3_server.secret_key,
        "endpoint_url": s3_server.endpoint,
    }
    url = f"s3://{s3_bucket}/{tmp_path.name}"
    text = str(options).replace("'", '"')
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{READS}", url, text], capture_output=True, text=True, check=False
    )
    assert done.stdout == "3 b'state'\nTrue\n", done.stderr


@pytest.mark.parametrize(
    ("url", "module"),
    [("s3://b/x", "s3fs.core"), ("gs://b/x", "gcsfs.core"), ("abfs://c/x", "adlfs.spec")],
)
def test_every_cloud_is_opened_with_its_own_filesystem_and_not_with_flytes(
    url: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "a2V5")
    scheme = url.partition(":")[0]
    assert fsspec.get_filesystem_class(scheme).__module__.startswith("obstore")  # flyte.storage is imported
    filesystem, _ = filesystem_at(url, {"token": "anon"} if scheme == "gs" else {})
    assert type(filesystem).__module__ == module


def test_the_settings_are_those_that_flyte_makes_of_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLYTE_AWS_ENDPOINT", "http://localhost:4566")
    monkeypatch.setenv("FLYTE_AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("FLYTE_AWS_SECRET_ACCESS_KEY", "secret")
    store = checkpoint("s3://bucket/data").place.store()  # type: ignore[union-attr]
    assert isinstance(store, ObstoreStore)
    config = store.client("bucket").config
    assert (config["endpoint"], config["access_key_id"]) == ("http://localhost:4566", "key")


@pytest.mark.parametrize("url", ["gs://bucket/data", "abfs://container/data"])
def test_without_settings_the_clouds_own_endpoints_are_used(url: str) -> None:
    store = checkpoint(url).place.store()  # type: ignore[union-attr]
    assert isinstance(store, ObstoreStore)
    assert store.guarantee.name == "COMPARE_AND_SWAP"


@pytest.mark.servers
def test_a_refused_latest_names_the_permission_and_flyte_retries(on_s3: Place, s3_proxy: FaultProxy) -> None:
    s3_proxy.add(Rule(method="GET", path="LATEST", status=403, code="AccessDenied", times=None))
    refused = on_s3.action.run(2, FLYTE_AWS_ENDPOINT=s3_proxy.endpoint)
    assert (refused.kind, refused.outputs) == ("RECOVERABLE", None), refused.log
    assert "a0_v2/LATEST. Grant s3:GetObject" in refused.error
    assert "a fresh start" not in refused.log
