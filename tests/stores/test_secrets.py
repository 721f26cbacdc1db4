"""No key, token, signature or password is shown: not by an error, its traceback, or a log line at DEBUG."""

from __future__ import annotations

import base64
import logging
import traceback
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlencode

import gcsfs.credentials
import pytest
import requests
from google.oauth2.credentials import Credentials

from ckptptr.clock import SystemClock
from ckptptr.errors import CkptptrError
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying

pytestmark = pytest.mark.usefixtures("no_waiting")

HUSH = "hush+hush/hush=hush"
FORMS = (HUSH, quote(HUSH, safe=""), quote(HUSH), "hush")  # whole, as URLs have it, or any part of it
KEY = base64.b64encode(HUSH.encode()).decode()
NOBODY = "127.0.0.1:1"

ONCE = {"config_kwargs": {"retries": {"max_attempts": 0}}}
SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "s3, a secret key": ("s3", {"key": "k", "secret": HUSH, "endpoint_url": f"http://{NOBODY}"}),
    "s3, a session token": (
        "s3",
        {"key": "k", "secret": HUSH, "token": HUSH, "endpoint_url": f"http://{NOBODY}"},
    ),
    "s3, a password": ("s3", {"key": "k", "secret": HUSH, "endpoint_url": f"http://u:hush@{NOBODY}"}),
    "s3, a password without a key": ("s3", {"anon": True, "endpoint_url": f"http://u:hush@{NOBODY}"}),
    "s3, a password with a slash": ("s3", {"anon": True, "endpoint_url": f"http://u:{HUSH}@{NOBODY}"}),
    "s3, a password and no scheme": ("s3", {"anon": True, "endpoint_url": f"u:hush@{NOBODY}"}),
    "gcs, a token": ("gs", {"token": Credentials(HUSH), "endpoint_url": f"http://{NOBODY}"}),
    "gcs, a token that Google is asked about": ("gs", {"token": HUSH, "endpoint_url": f"http://{NOBODY}"}),
    "gcs, a password": ("gs", {"token": Credentials(HUSH), "endpoint_url": f"http://u:hush@{NOBODY}"}),
    "gcs, a password with a slash": ("gs", {"token": "anon", "endpoint_url": f"http://u:{HUSH}@{NOBODY}"}),
    "azure, an account key": (
        "abfs",
        {"connection_string": f"BlobEndpoint=http://{NOBODY}/a;AccountName=a;AccountKey={KEY}"},
    ),
    "azure, a key that is none": (
        "abfs",
        {"connection_string": f"BlobEndpoint=http://{NOBODY}/a;AccountName=a;AccountKey=hush"},
    ),
    "azure, a signature": (
        "abfs",
        {"connection_string": f"BlobEndpoint=http://{NOBODY}/a;SharedAccessSignature=sv=1&sig={quote(HUSH)}"},
    ),
    "azure, a password": (
        "abfs",
        {"connection_string": f"BlobEndpoint=http://u:hush@{NOBODY}/a;AccountName=a;AccountKey={KEY}"},
    ),
    "azure, a password with a slash": (
        "abfs",
        {"connection_string": f"BlobEndpoint=http://u:hu/hush@{NOBODY}/a;AccountName=a;AccountKey={KEY}"},
    ),
    "azure, no connection string": ("abfs", {"connection_string": f"a={HUSH}"}),
}

OPERATIONS: list[Callable[[Store, str], object]] = [
    lambda store, key: with_known_guarantee(store, key, SystemClock(), {}),
    lambda store, key: store.read(key),
    lambda store, key: store.upload(key, [bytes(store.block_size), b"1"]),
    lambda store, key: store.copy(key, f"{key}-copy"),
]


def unreachable(url: str, params: Mapping[str, str], **_: object) -> None:
    raise requests.ConnectionError(f"Max retries exceeded with url: {url}?{urlencode(params)}")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """What was logged so far."""
    monkeypatch.setattr(gcsfs.credentials.requests, "get", unreachable)
    caplog.set_level(logging.DEBUG, logger="ckptptr")
    return lambda: "\n".join(record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_goes_wrong_is_told_without_the_secret(settings: str, heard: Callable[[], str]) -> None:
    scheme, options = SETTINGS[settings]
    if scheme == "s3":
        options = {**options, **ONCE}
    options = {**options, "skip_instance_cache": True}
    opened = lru_cache(lambda: open_store(f"{scheme}://bucket/x", storage_options=options))
    for operation in OPERATIONS:
        with pytest.raises(CkptptrError) as caught:
            run(operation, *opened())
        said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + heard()
        assert [form for form in (*FORMS, KEY) if form in said] == []


def run(operation: Callable[[Store, str], object], store: Store, key: str) -> None:
    operation(Retrying(store, SystemClock(), tries=2), key)
