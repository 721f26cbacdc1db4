"""Objects that a lifecycle rule has archived: an error with the cure, and a finding of doctor."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.errors import AccessDeniedError
from ckptptr.settings import ENGINE
from ckptptr.stores.azure.store import AzureStore
from tests.cli.conftest import run_json
from tests.cli.test_on_s3 import on_the_command_line
from tests.servers.azurite import ask
from tests.servers.moto import Moto
from tests.servers.s3 import open_filesystem

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """moto refuses to read what is in Glacier, as Amazon does."""
    with Moto() as server:
        yield server


@pytest.fixture
def run_on_moto(moto: Moto) -> Iterator[tuple[str, Any]]:
    """A run outside Flyte with one checkpoint; its URL, and the filesystem."""
    with open_filesystem(moto, moto.endpoint) as filesystem:
        bucket = f"bucket-{uuid.uuid4().hex[:12]}"
        filesystem.call_s3("create_bucket", Bucket=bucket)
        url = f"s3://{bucket}/run"
        with ckptptr.open(url, filesystem=filesystem) as checkpoints:
            checkpoints.save(b"state", step=1)
        yield url, filesystem


@pytest.fixture
def findings(moto: Moto, run_on_moto: tuple[str, Any]) -> Callable[[int], dict[str, Any]]:
    """What doctor finds there, by the check; ends as told."""
    settings = {"key": moto.access_key, "secret": moto.secret_key, "endpoint_url": moto.endpoint}

    def look(exit_code: int) -> dict[str, Any]:
        with on_the_command_line(**settings) as options:
            told = run_json("doctor", run_on_moto[0], *options, exit_code=exit_code)
        return {finding["check"]: finding for finding in told["findings"]}

    return look


@pytest.mark.parametrize("engine", ["fsspec", "auto"])
def test_a_checkpoint_in_glacier_is_told_with_the_cure_until_it_is_brought_back(
    run_on_moto: tuple[str, Any],
    findings: Callable[[int], dict[str, Any]],
    engine: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENGINE.name, engine)
    url, filesystem = run_on_moto
    (payload,) = filesystem.find(f"{url}/attempts/0/data")
    bucket, _, key = payload.partition("/")
    origin = {"Bucket": bucket, "Key": key}
    filesystem.call_s3("copy_object", **origin, CopySource=origin, StorageClass="GLACIER")
    with (
        ckptptr.open(url, filesystem=filesystem) as checkpoints,
        pytest.raises(AccessDeniedError, match=r"archived .*: s3://.*aws s3api restore-object") as caught,
    ):
        checkpoints.restore(tmp_path)
    assert "Grant" not in str(caught.value)
    told = findings(ExitCode.PROBLEMS)["archived"]
    assert told["level"] == "problem"
    assert "aws s3api restore-object" in told["what"]
    assert told["object"] == f"s3://{payload}"
    filesystem.call_s3("restore_object", **origin, RestoreRequest={"Days": 1})
    assert "archived" not in findings(ExitCode.OK)


def test_a_blob_in_the_archive_tier_is_told_with_the_cure(
    azure_filesystem: Any, azure_container: str
) -> None:
    store, key = AzureStore(azure_filesystem), f"{azure_container}/{uuid.uuid4().hex}/x"
    store.upload(key, [b"1"])
    assert [entry.is_archived for entry in store.list(key.rpartition("/")[0])] == [False]
    ask(azure_filesystem, key, "set_standard_blob_tier", "Archive")
    assert [entry.is_archived for entry in store.list(key.rpartition("/")[0])] == [True]
    with pytest.raises(AccessDeniedError, match="set-tier"):
        store.read(key)
