"""On an account with a hierarchical namespace, folders that deleted payload leaves empty are removed."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import ckptptr
from ckptptr.clock import Patience
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores import emptied
from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.obstore.configured import ConfiguredAzure
from ckptptr.stores.obstore.store import ObstoreStore
from ckptptr.stores.port import Store
from tests.servers.azurite import Azurite, open_filesystem
from tests.servers.hierarchical import Hierarchical
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emptied, "_has_folders", {})


NEEDS_311 = pytest.mark.skipif(sys.version_info < (3, 11), reason="obstore needs Python 3.11")


@pytest.fixture(params=["adlfs", pytest.param("obstore", marks=NEEDS_311)])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gen2(azure_server: Azurite) -> Iterator[Hierarchical]:
    with Hierarchical(azure_server) as proxy:
        yield proxy


@pytest.fixture
def root(azure_container: str) -> str:
    return f"{azure_container}/{uuid.uuid4().hex}"


@contextmanager
def through(proxy: FaultProxy, server: Azurite, engine: str) -> Iterator[Store]:
    """A store of that engine."""
    if engine == "adlfs":
        with open_filesystem(server.connection_string(proxy.endpoint)) as filesystem:
            yield AzureStore(filesystem)
        return
    account = {"account_name": server.account, "account_key": server.key}
    yield ObstoreStore(
        ConfiguredAzure({"config": {**account, "endpoint": f"{proxy.endpoint}/{server.account}"}})
    )


def save(store: Store, root: str, folder: Path, steps: range) -> None:
    """Save these steps, with folders in the payload, and wait for the sweeps."""
    node = node_at(store, f"{root}/run", attempt=0, read_only=False)
    with ckptptr.Checkpoints(Session(store, node)) as run:
        for step in steps:
            for name in ("optimizer/shards/0", "optimizer/1", "model"):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text(f"{step} {name}")
            run.save(folder, step=step)
            run.wait()


def payloads(folders: Iterable[str]) -> set[str]:
    """The folders of whole checkpoints among these."""
    return {folder for folder in folders if re.search(r"/data/[^/.]+$", folder)}


def test_a_sweep_leaves_no_folder_of_what_it_deletes(
    engine: str, azure_server: Azurite, gen2: Hierarchical, root: str, tmp_path: Path
) -> None:
    with through(gen2, azure_server, engine) as store:
        save(store, root, tmp_path, range(1, 9))
        objects = {entry.key.rpartition("/")[0] for entry in store.list(root)}
        assert payloads(gen2.folders) == {name for name in objects if name in payloads(gen2.folders)}
        assert 3 <= len(payloads(gen2.folders)) <= 5
        assert len([name for name in gen2.folders if "/shards" in name]) == len(payloads(gen2.folders))
        assert f"{root}/run" in gen2.folders
        run = ckptptr.Checkpoints(Session(store, node_at(store, f"{root}/run", attempt=1, read_only=False)))
        assert run.restore(tmp_path / "restored")
        assert (tmp_path / "restored/optimizer/shards/0").read_text() == "8 optimizer/shards/0"
        run.close()


def test_a_folder_with_something_in_it_stays_and_those_around_it_are_not_asked_for(
    engine: str, azure_server: Azurite, gen2: Hierarchical, root: str
) -> None:
    payload = f"{root}/run/attempts/0/data/1764000000000-a0000-abcdef"
    with through(gen2, azure_server, engine) as store:
        for name in ("a/b/1", "a/b/of another program", "c/2"):
            store.upload(f"{payload}/{name}", [b"x"])
        store.delete([f"{payload}/a/b/1", f"{payload}/c/2"])
        assert [entry.key for entry in store.list(root)] == [f"{payload}/a/b/of another program"]
        gone = f"{payload}/c"
        assert {f"{payload}/a/b", f"{payload}/a", payload, root} <= gen2.folders
        assert gone not in gen2.folders
        refused = [seen.path for seen in gen2.log if seen.status == 409]
        assert len(refused) == 2  # the first question, and that folder


def test_folders_that_are_not_of_one_checkpoints_payload_stay(
    engine: str, azure_server: Azurite, gen2: Hierarchical, root: str
) -> None:
    keys = [f"{root}/run/attempts/0/{name}" for name in ("manifests/x", "data/.sets/2/y", "data/mine/z")]
    with through(gen2, azure_server, engine) as store:
        for key in keys:
            store.upload(key, [b"x"])
        store.delete(keys)
    assert {key.rpartition("/")[0] for key in keys} <= gen2.folders


def test_a_flat_account_is_asked_once_for_all_of_the_process(
    engine: str, azure_server: Azurite, azure_proxy: FaultProxy, root: str, tmp_path: Path
) -> None:
    def asked() -> list[int]:
        deletions = [seen for seen in azure_proxy.log if seen.method == "DELETE" or "comp=batch" in seen.path]
        return [seen.status for seen in deletions]

    for run in ("one", "two"):
        azure_proxy.reset()
        with through(azure_proxy, azure_server, engine) as store:
            save(store, f"{root}/{run}", tmp_path, range(1, 7))
            swept = len(asked()) - (run == "one")
            assert swept % 4 == 0  # three files and a manifest each
            assert swept >= 4 * 2


@pytest.mark.parametrize("status", [403, 503])
def test_a_server_that_does_not_answer_that_question_fails_no_sweep_and_is_asked_again_later(
    azure_server: Azurite, gen2: Hierarchical, root: str, status: int
) -> None:
    payload = f"{root}/run/attempts/0/data/1764000000000-a0000-abcdef"
    gen2.add(Rule(method="DELETE", path="abcdef$", status=status, code="Refused", times=1))
    with open_filesystem(azure_server.connection_string(gen2.endpoint)) as filesystem:
        store = AzureStore(filesystem, patience=Patience(tries=1, wait=0.0))
        for name in ("a/1", "a/2"):
            store.upload(f"{payload}/{name}", [b"x"])
        store.delete([f"{payload}/a/1"])
        assert payload in gen2.folders
        store.delete([f"{payload}/a/2"])
        assert payload not in gen2.folders
