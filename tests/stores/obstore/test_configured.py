"""Clients from obstore's own settings: whose endpoint it is, and bounds that are ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.line import LONG
from ckptptr.stores.obstore.configured import ConfiguredAzure, ConfiguredGCS, ConfiguredS3
from ckptptr.stores.obstore.lending import ANSWER, PATIENCE
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Guarantee

ACCOUNT = json.dumps({"client_email": "a@b", "private_key": "x"})
EMULATOR = json.dumps({"gcs_base_url": "http://localhost:1", "disable_oauth": True})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "GOOGLE_", "AZURE_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("kind", "settings", "environ", "is_own"),
    [
        (ConfiguredS3, {}, {}, True),
        (ConfiguredS3, {"region": "eu-west-1"}, {"AWS_ENDPOINT_URL_STS": "https://sts.example"}, True),
        (ConfiguredS3, {"config": {"endpoint": "https://s3.eu-west-1.amazonaws.com"}}, {}, True),
        (ConfiguredS3, {"config": {"endpoint": "http://localhost:4566"}}, {}, False),
        (ConfiguredS3, {"config": None}, {"AWS_ENDPOINT_URL": "http://minio:9000"}, False),
        (ConfiguredS3, {}, {"AWS_ENDPOINT_URL_S3": "http://minio:9000"}, False),
        (ConfiguredGCS, {}, {}, True),
        (ConfiguredGCS, {}, {"GOOGLE_SERVICE_ACCOUNT_KEY": ACCOUNT}, True),
        (ConfiguredGCS, {}, {"GOOGLE_SERVICE_ACCOUNT_KEY": EMULATOR}, False),
        (ConfiguredGCS, {"config": {"service_account": "{file}"}}, {}, False),
        (ConfiguredGCS, {"config": {"service_account": "/no/such/file"}}, {}, True),
        (ConfiguredAzure, {"config": {"account_name": "a"}}, {}, True),
        (ConfiguredAzure, {}, {"AZURE_STORAGE_ENDPOINT": "http://localhost:10000/a"}, False),
        (ConfiguredAzure, {}, {"AZURE_STORAGE_USE_EMULATOR": "true"}, False),
    ],
)
def test_any_endpoint_but_the_clouds_own_is_unproven(
    kind: Any, settings: Any, environ: Any, is_own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "account.json").write_text(EMULATOR)
    if settings.get("config"):
        config = settings["config"].items()
        settings = {"config": {k: v.replace("{file}", str(tmp_path / "account.json")) for k, v in config}}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert kind(settings).guarantee is (Guarantee.COMPARE_AND_SWAP if is_own else Guarantee.UNPROVEN)


def test_the_bounds_are_ours_and_never_those_of_the_settings() -> None:
    settings = {"client_options": {"timeout": "99999s"}, "retry_config": {"max_retries": 9}, "region": "r"}
    client = ConfiguredS3(settings).client("bucket")
    assert client.client_options["read_timeout"] == f"{ANSWER / 60:.0f}m"
    assert client.client_options["timeout"] == f"{LONG / 3600:.0f}h"
    assert client.retry_config["max_retries"] == PATIENCE.tries - 1
    assert client.config["region"] == "r"


def test_amazon_compares_a_checksum_and_other_endpoints_are_not_asked() -> None:
    client = ConfiguredS3({"region": "r"}).comparing("bucket/key")
    assert client is not None
    assert (client.config["checksum_algorithm"], client.config["unsigned_payload"]) == ("CRC64NVME", "true")
    plain = ConfiguredS3({"config": {"endpoint": "http://s3.amazonaws.com"}}).comparing("bucket/key")
    assert plain is not None
    assert plain.config["unsigned_payload"] == "false"
    assert ConfiguredS3({"config": {"endpoint": "http://localhost"}}).comparing("bucket/key") is None


def test_botocores_switch_turns_the_checksums_off_on_amazon_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    lender = ConfiguredS3({"region": "r"})
    assert lender.comparing("bucket/key") is None
    assert "checksum_algorithm" not in lender.client("bucket").config
    assert lender.checked("bucket").config["checksum_algorithm"] == "SHA256"


def test_metadata_has_names_that_azure_takes() -> None:
    assert ConfiguredAzure({}, {"flyte-execution": "x"}).metadata == {"flyte_execution": "x"}
    assert ConfiguredS3({}, {"flyte-execution": "x"}).metadata == {"flyte-execution": "x"}


def test_a_store_is_opened_with_settings_in_place_of_a_filesystem() -> None:
    store, key = open_store("gs://bucket/run", settings={})
    assert (key, store.url(key)) == ("bucket/run", "gs://bucket/run")
    assert store.guarantee is Guarantee.COMPARE_AND_SWAP
    with pytest.raises(InvalidArgumentError, match="no valid bucket name"):
        open_store("s3://k:s@bucket/run", settings={})
