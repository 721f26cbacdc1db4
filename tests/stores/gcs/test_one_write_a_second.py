"""Google takes one write a second to one name: on a server that answers 429 to more."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckptptr.checkpoints import Checkpoints
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.gcs.store import GCSStore
from tests.servers.gcs import GCSServer, MiniGCS, open_filesystem
from tests.servers.proxy import FaultProxy

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("gcs_server")]


@pytest.fixture(scope="module")
def gcs_slow_server() -> Iterator[GCSServer]:
    with MiniGCS("--one-write-a-second") as server:
        server.make_bucket("b")
        yield server


def test_a_second_write_within_a_second_waits_its_turn(gcs_slow_server: GCSServer) -> None:
    with FaultProxy(gcs_slow_server.endpoint) as proxy, open_filesystem(proxy.endpoint) as filesystem:
        store = GCSStore(filesystem)
        token = store.create("b/x", b"1")
        begun = time.monotonic()
        store.replace("b/x", b"2", token)
        assert 0.5 < time.monotonic() - begun < 8
        assert 1 <= [seen.status for seen in proxy.log].count(429) <= 3
        assert store.read("b/x")[0] == b"2"


def test_other_names_need_not_wait(gcs_slow_server: GCSServer) -> None:
    with FaultProxy(gcs_slow_server.endpoint) as proxy, open_filesystem(proxy.endpoint) as filesystem:
        store = GCSStore(filesystem)
        for number in range(20):
            store.create(f"b/many/{number}", b"1")
        assert [seen.status for seen in proxy.log] == [200] * 20


def test_of_saves_faster_than_one_a_second_the_last_one_lands(
    gcs_slow_server: GCSServer, tmp_path: Path
) -> None:
    with open_filesystem(gcs_slow_server.endpoint) as filesystem:
        store, prefix = GCSStore(filesystem), f"b/run-{uuid.uuid4().hex}"
        checkpoints = Checkpoints(Session(store, node_at(store, prefix, attempt=0, read_only=False)))
        file = tmp_path / "state"
        begun = time.monotonic()
        for step in range(4):
            file.write_text(f"step {step}")
            checkpoints.save(file, step=step)
        seconds = time.monotonic() - begun
        checkpoints.close()
        later = Checkpoints(Session(store, node_at(store, prefix, attempt=1, read_only=False)))
        restored = later.restore(tmp_path / "restored")
        later.close()
        assert restored
        assert (restored / "state").read_text() == "step 3"
        assert seconds < 15
