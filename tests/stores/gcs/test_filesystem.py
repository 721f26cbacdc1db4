"""GCSStore and where it runs: filesystems of several makers, their credentials, forks."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from google.oauth2.credentials import Credentials

from ckptptr.errors import AccessDeniedError, InvalidArgumentError
from ckptptr.stores.gcs.store import GCSStore
from ckptptr.stores.port import Guarantee
from tests.servers.gcs import MiniGCS, open_filesystem
from tests.servers.proxy import FaultProxy
from tests.stores.gcs.conftest import BLOCK

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


# The filesystem that is handed in


def test_the_credentials_of_the_filesystem_are_used_and_never_shown() -> None:
    secret = uuid.uuid4().hex
    with MiniGCS(token=secret) as server:
        server.make_bucket("b")
        with open_filesystem(server.endpoint, token=Credentials(secret)) as filesystem:
            store = GCSStore(filesystem, block_size=BLOCK)
            store.upload("b/x", [bytes(BLOCK)] * 2)
            assert b"".join(store.download("b/x", 0, 1)) == b"\0"
        wrong = uuid.uuid4().hex
        with open_filesystem(server.endpoint, token=Credentials(wrong)) as filesystem:
            with pytest.raises(AccessDeniedError, match="did not accept") as caught:
                GCSStore(filesystem).read("b/x")
            assert wrong not in str(caught.value)


def test_who_pays_is_said_where_the_filesystem_says_it(gcs_proxy: FaultProxy, folder: str) -> None:
    with open_filesystem(gcs_proxy.endpoint, requester_pays="project-7") as filesystem:
        store = GCSStore(filesystem, block_size=BLOCK)
        store.upload(f"{folder}/x", [bytes(BLOCK)] * 2)
        store.copy(f"{folder}/x", f"{folder}/y")
        store.delete([f"{folder}/x"])
    assert gcs_proxy.log
    assert all("userProject=project-7" in seen.path for seen in gcs_proxy.log)


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://storage.googleapis.com", Guarantee.COMPARE_AND_SWAP),
        ("https://storage-mine.p.googleapis.com", Guarantee.COMPARE_AND_SWAP),
        ("http://127.0.0.1:4443", Guarantee.UNPROVEN),
        ("https://googleapis.com.example.org", Guarantee.UNPROVEN),
    ],
)
def test_only_google_itself_is_known_to_swap(endpoint: str, expected: Guarantee) -> None:
    with open_filesystem(endpoint) as filesystem:
        assert GCSStore(filesystem).guarantee is expected


@pytest.mark.parametrize("name", ["", "/" + "n" * 1025, "/\ud800"])
def test_names_that_no_object_can_have_are_an_invalid_argument(store: GCSStore, name: str) -> None:
    for operation in (
        lambda: store.read(f"bucket{name}"),
        lambda: store.create(f"bucket{name}", b"1"),
        lambda: store.upload(f"bucket{name}", [b"1"]),
        lambda: store.delete([f"bucket{name}"]),
    ):
        with pytest.raises(InvalidArgumentError):
            operation()


ASK = """
import os, sys, time
os.environ["STORAGE_EMULATOR_HOST"] = sys.argv[1]
from flytekit.core.data_persistence import FileAccessProvider
from ckptptr.stores.gcs.store import GCSStore
filesystem = FileAccessProvider(sys.argv[3], "gs://b/raw").get_filesystem("gs", token="anon")
store = GCSStore(filesystem, block_size=256 * 1024)
begun = time.monotonic()
token = store.create(sys.argv[2] + "/x", b"1")
store.replace(sys.argv[2] + "/x", b"2", token)
store.upload(sys.argv[2] + "/y", [bytes(256 * 1024)] * 2)
store.copy(sys.argv[2] + "/y", sys.argv[2] + "/z")
store.delete([entry.key for entry in store.list(sys.argv[2])])
print(type(filesystem).__name__, time.monotonic() - begun)
"""


@pytest.mark.parametrize(("probes", "kind"), [("true", "ExtendedGcsFileSystem"), ("false", "GCSFileSystem")])
def test_flytekit_s_filesystem_works_and_never_asks_for_the_kind_of_bucket(
    gcs_server: MiniGCS, folder: str, tmp_path: Path, probes: str, kind: str
) -> None:
    """Asking is what stalls gcsfs's own methods, up to a minute each, where gRPC gets no answer."""
    command = [sys.executable, "-W", "ignore", "-c", ASK, gcs_server.endpoint, folder, str(tmp_path)]
    environment = {**os.environ, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": probes}
    done = subprocess.run(command, check=True, timeout=90, env=environment, stdout=subprocess.PIPE, text=True)
    found, seconds = done.stdout.split()
    assert found == kind
    assert float(seconds) < 5


# Forks

AFTER_FORK = """
import os, sys
import gcsfs
from google.oauth2.credentials import Credentials
from ckptptr.stores.gcs.store import GCSStore
filesystem = gcsfs.GCSFileSystem(endpoint_url=sys.argv[1], token="anon")
filesystem.credentials.credentials = Credentials("t")  # as if resolved at some cost
store = GCSStore(filesystem)
key = sys.argv[2]
store.create(key + "/parent", b"1")
if child := os.fork():
    status = os.waitpid(child, 0)[1]
    store.create(key + "/parent-again", b"1")
    sys.exit(os.waitstatus_to_exitcode(status))
store.create(key + "/child", b"1")
GCSStore(filesystem).create(key + "/made-in-child", b"1")
assert store._client._filesystem.credentials.credentials is filesystem.credentials.credentials
"""


def test_a_store_works_on_in_a_forked_child(gcs_server: MiniGCS, store: GCSStore, folder: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", AFTER_FORK, gcs_server.endpoint, folder]
    subprocess.run(command, check=True, timeout=60)
    names = [entry.key.rpartition("/")[2] for entry in store.list(folder)]
    assert names == ["child", "made-in-child", "parent", "parent-again"]
