"""How AzureStore copies. Azure takes its time and Azurite does not, so the proxy says that it does."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ckptptr.clock import SystemClock
from ckptptr.errors import AccessDeniedError, InvalidArgumentError, NotFoundError, StoreUnavailableError
from ckptptr.stores.azure.store import AzureStore
from ckptptr.stores.azure.words import SourceUnverifiedError
from ckptptr.stores.port import Entry
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers

PENDING = {"x-ms-copy-status": "pending"}


@pytest.fixture
def original(proxied: AzureStore, azure_proxy: FaultProxy, folder: str) -> str:
    proxied.upload(f"{folder}/x", [b"1"])
    azure_proxy.reset()
    return f"{folder}/x"


def test_a_copy_is_waited_for(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, original: str
) -> None:
    azure_proxy.add(Rule(method="PUT", answer=PENDING))
    azure_proxy.add(Rule(method="HEAD", answer={**PENDING, "x-ms-copy-progress": "0/1"}, times=2))
    proxied.copy(original, f"{folder}/y")
    assert [seen.method for seen in azure_proxy.log] == ["PUT", "HEAD", "HEAD", "HEAD"]
    assert proxied.read(f"{folder}/y")[0] == b"1"


def test_a_copy_that_makes_progress_is_waited_for_beyond_the_patience(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, original: str
) -> None:
    azure_proxy.add(Rule(method="PUT", answer=PENDING))
    for done in range(4):
        azure_proxy.add(Rule(method="HEAD", answer={**PENDING, "x-ms-copy-progress": f"{done}/9"}))
    started = time.monotonic()
    proxied.copy(original, f"{folder}/y")
    assert time.monotonic() - started > 0.5


@pytest.mark.parametrize(
    ("state", "times", "words"),
    [
        ({"x-ms-copy-status": "failed"}, 1, r"gave up the copy \(failed\)"),
        ({"x-ms-copy-status": "aborted"}, 1, r"gave up the copy \(aborted\)"),
        (PENDING, None, "no progress"),
    ],
)
def test_a_copy_that_ends_badly_or_never_is_ended_and_leaves_nothing(
    proxied: AzureStore,
    azure_proxy: FaultProxy,
    folder: str,
    original: str,
    state: dict[str, str],
    times: int | None,
    words: str,
) -> None:
    azure_proxy.add(Rule(method="PUT", answer=PENDING))
    azure_proxy.add(Rule(method="HEAD", answer=state, times=times))
    with pytest.raises(StoreUnavailableError, match=words):
        proxied.copy(original, f"{folder}/y")
    assert [seen.method for seen in azure_proxy.log[-2:]] == ["PUT", "DELETE"]
    assert "comp=copy" in azure_proxy.log[-2].path
    assert [*proxied.list(folder)] == [Entry(original, 1)]


def test_an_interrupted_wait_ends_the_copy(
    azure_proxied: Any,
    proxied: AzureStore,
    azure_proxy: FaultProxy,
    folder: str,
    original: str,
) -> None:
    class Interrupting(SystemClock):
        def sleep(self, _: float) -> None:
            raise KeyboardInterrupt

    store = AzureStore(azure_proxied, clock=Interrupting())
    azure_proxy.add(Rule(method="PUT", answer=PENDING))
    with pytest.raises(KeyboardInterrupt):
        store.copy(original, f"{folder}/y")
    assert [*proxied.list(folder)] == [Entry(original, 1)]


def test_a_copy_that_another_write_overtook_is_unavailable_and_that_write_stays(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, original: str
) -> None:
    azure_proxy.add(Rule(method="PUT", answer={**PENDING, "x-ms-copy-id": "somebody else's"}))
    with pytest.raises(StoreUnavailableError, match="another write"):
        proxied.copy(original, f"{folder}/y")
    assert proxied.read(f"{folder}/y")[0] == b"1"


def test_a_copy_that_was_deleted_meanwhile_is_not_a_missing_source(
    proxied: AzureStore, azure_proxy: FaultProxy, folder: str, original: str
) -> None:
    azure_proxy.add(Rule(method="PUT", answer=PENDING))
    azure_proxy.add(Rule(method="HEAD", status=404, code="BlobNotFound"))
    with pytest.raises(StoreUnavailableError, match="deleted while it was made"):
        proxied.copy(original, f"{folder}/y")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_why_a_source_cannot_be_copied_is_learnt_from_the_source(
    impatient: AzureStore, azure_proxy: FaultProxy, folder: str, original: str, status: int
) -> None:
    azure_proxy.add(Rule(method="PUT", status=status, code="CannotVerifyCopySource", times=None))
    with pytest.raises(SourceUnverifiedError):  # it is there, and can be read
        impatient.copy(original, f"{folder}/y")
    with pytest.raises(NotFoundError, match="no-such-object"):
        impatient.copy(f"{folder}/no-such-object", f"{folder}/y")
    with pytest.raises(InvalidArgumentError, match="no-such-container"):
        impatient.copy("no-such-container/x", f"{folder}/y")
    azure_proxy.add(Rule(method="HEAD", status=403, code="AuthorizationPermissionMismatch"))
    with pytest.raises(AccessDeniedError, match="blobs/read"):
        impatient.copy(original, f"{folder}/y")
