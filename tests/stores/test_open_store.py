from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import AccessDeniedError, InvalidArgumentError
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.open import open_store
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.urls import Location, split


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("/data/run", "/data/run"),
        ("/data/run/", "/data/run"),
        ("//data//run/./x", "/data/run/x"),
        ("file:///data/run", "/data/run"),
        ("local:///data/run///", "/data/run"),
        ("FILE:///data/a%20b", "/data/a%20b"),
        ("/data/what?#is", "/data/what?#is"),
        ("/", "/"),
    ],
)
def test_a_local_path(url: str, key: str) -> None:
    store, found = open_store(url)
    assert isinstance(store, LocalStore)
    assert found == key


def test_a_relative_path_is_made_absolute_and_a_tilde_is_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert open_store("run")[1] == str(tmp_path / "run")
    assert open_store("./run/")[1] == str(tmp_path / "run")
    assert open_store(Path("run"))[1] == str(tmp_path / "run")
    assert open_store("~/run")[1] == "/home/me/run"
    assert open_store("./~/run")[1] == str(tmp_path / "~/run")
    with pytest.raises(InvalidArgumentError, match=r"no such user.*A folder of that name is \./~nobody-here"):
        open_store("~nobody-here/run")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (Path("s3://bucket/run"), "s3://bucket/run"),
        (Path("file:///data/run"), "file:///data/run"),
        ("gs:/bucket/run", "gs://bucket/run"),
        ("az:bucket/run", "az://bucket/run"),
        ("S3:/bucket", "S3://bucket"),
    ],
)
def test_a_url_that_lost_a_slash_is_refused_by_name_and_no_folder(written: str | Path, meant: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"neither a URL nor a path.*Write {meant}$"):
        open_store(written)


def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("run:42")[1] == str(tmp_path / "run:42")


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://bucket/data/run", "bucket/data/run"),
        ("s3a://bucket/data/run//", "bucket/data/run"),
        ("s3://bucket", "bucket"),
        ("s3://my.bucket-1/ü b/50%", "my.bucket-1/ü b/50%"),
    ],
)
def test_an_s3_url(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", "fsspec")
    store, found = open_store(url, storage_options={"anon": True})
    assert isinstance(store, S3Store)
    assert found == key
    assert store.url(found) == f"s3://{key}"


def test_all_of_a_process_share_one_memory() -> None:
    first, key = open_store("memory://a/b")
    second, _ = open_store("memory://c")
    assert isinstance(first, MemoryStore)
    assert first is second
    assert key == "a/b"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "empty"),
        ("gs://bucket//x", "empty segment"),
        ("abfs://user:secret@container/x", "no valid bucket name"),
        ("ftp://host/x", "Supported are"),
        ("s3://", "names nothing"),
        ("s3:///x", "empty segment"),
        ("s3://bucket//x", "empty segment"),
        ("s3://bucket/a//b", "single slashes"),
        ("s3://bucket/a/../b", "segments"),
        ("s3://bucket/./b", "segments"),
        ("s3://bucket/x?versionId=1", "query"),
        ("s3://bucket/x#part", "fragment"),
        ("s3://user:secret@bucket/x", "no valid bucket name"),
        ("memory://", "names nothing"),
        ("file://host/x", "no host"),
        ("file://relative", "no host"),
        ("file:///x?y", "query"),
        ("/data/../x", r"\.\."),
        ("../x", r"\.\."),
        ("run-77\n", r"control character.*run-77\\n'$"),
        ("s3://bucket/a\tb", r"control character.*: 's3://bucket/a\\tb'$"),
        ("memory://a\u202eb", "not printable"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_a_reason(url: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=words):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        *("s3://user:hush@bucket/x", "s3://user:hush@bucket//x", "s3://user:hush@bucket/x?y"),
        *("s3://bucket/x?X-Amz-Signature=hush", "file:///x#hush"),
    ],
)
def test_a_secret_in_a_url_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        open_store(url)
    assert "hush" not in str(caught.value)


class FakeFilesystem:
    read_timeout = 15

    def __init__(self, protocol: str | tuple[str, ...]) -> None:
        self.protocol = protocol
        self.config_kwargs: dict[str, object] = {}


@pytest.mark.parametrize("protocol", ["s3", ("s3", "s3a")])
def test_a_filesystem_that_is_given_is_used(
    protocol: str | tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CKPTPTR_ENGINE", "fsspec")
    filesystem = FakeFilesystem(protocol)
    store, _ = open_store("s3://bucket/x", filesystem=filesystem)
    assert isinstance(store, S3Store)
    assert store._client._origin is filesystem


@pytest.mark.parametrize(
    "options", [{"filesystem": FakeFilesystem("gs")}, {"filesystem": FakeFilesystem(("file", "local"))}]
)
def test_a_filesystem_of_another_kind_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="this filesystem is for"):
        open_store("s3://bucket/x", **options)


def test_a_filesystem_and_options_for_one_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="not both"):
        open_store("s3://bucket/x", filesystem=FakeFilesystem("s3"), storage_options={"anon": True})


def test_google_without_credentials_is_denied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(AccessDeniedError, match=r"no usable Google credentials.*GOOGLE_APPLICATION"):
        open_store("gs://bucket/run", storage_options={"token": "google_default"})


@pytest.mark.parametrize(
    ("url", "options", "cure"),
    [
        ("gs://bucket/run", {"token": "cache", "access": "nothing"}, "Check the storage options"),
        ("abfs://bucket/run", {"connection_string": "nothing"}, "Set AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_settings_that_do_not_fit_are_refused_with_the_cure_of_their_cloud(
    url: str, options: dict[str, str], cure: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=rf"with the settings given.*\. {cure}"):
        open_store(url, storage_options=options)


def run(script: str) -> str:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout


WITHOUT = """
import sys
sys.modules["{filesystem}"] = None
from ckptptr.errors import InvalidArgumentError
from ckptptr.stores.open import open_store
try:
    open_store("{scheme}://bucket/x")
except InvalidArgumentError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("scheme", "filesystem", "extra"),
    [("s3", "s3fs", "s3"), ("gs", "gcsfs", "gcs"), ("abfs", "adlfs", "azure")],
)
def test_without_its_filesystem_the_message_says_what_to_install(
    scheme: str, filesystem: str, extra: str
) -> None:
    assert f"pip install 'ckptptr[{extra}]'" in run(WITHOUT.format(scheme=scheme, filesystem=filesystem))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("/data/x", Location("file", "/data/x")),
        ("local:///data/x", Location("file", "/data/x")),
        ("S3A://bucket/x", Location("s3", "bucket/x")),
        ("gcs://bucket/x", Location("gs", "bucket/x")),
        ("az://container/x", Location("abfs", "container/x")),
        ("abfss://container@account.dfs.core.windows.net/x", Location("abfs", "container/x", "account")),
    ],
)
def test_every_way_to_write_a_url_is_one_scheme_and_one_key(url: str, place: Location) -> None:
    assert split(url) == place


IMPORT_ALL = """
import sys
import ckptptr.stores.open, ckptptr.testing
ckptptr.stores.open.open_store("/x")
heavy = "s3fs gcsfs adlfs azure fsspec botocore aiohttp flytekit pytest".split()
print([name for name in heavy if name in sys.modules])
"""


def test_importing_the_package_loads_no_sdk() -> None:
    assert run(IMPORT_ALL).strip() == "[]"
