"""S3Store on a server that accepts conditions and ignores them: it is found out, and lived with."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.clock import SystemClock
from ckptptr.errors import AccessDeniedError, ConflictError
from ckptptr.protocol.names import latest_key
from ckptptr.settings import GUARANTEE
from ckptptr.stores.port import Guarantee
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.wrappers.last_writer import LastWriterWins
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying
from ckptptr.testing import StoreConformance
from tests.servers.juicefs import JuiceFSGateway
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.s3 import open_filesystem

pytestmark = pytest.mark.servers

PART = 5 * 1024 * 1024  # the smallest that S3 takes


@pytest.fixture(scope="module")
def s3_liar() -> Iterator[JuiceFSGateway]:
    with JuiceFSGateway() as server:
        yield server


@pytest.fixture(scope="module")
def s3_liar_filesystem(s3_liar: JuiceFSGateway) -> Iterator[Any]:
    with open_filesystem(s3_liar, s3_liar.endpoint) as filesystem:
        yield filesystem


@pytest.fixture(scope="module")
def s3_liar_bucket(s3_liar_filesystem: Any) -> str:
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_liar_filesystem.call_s3("create_bucket", Bucket=bucket)
    return bucket


@pytest.fixture
def s3_liar_proxy(s3_liar: JuiceFSGateway) -> Iterator[FaultProxy]:
    with FaultProxy(s3_liar.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxied(s3_liar: JuiceFSGateway, s3_liar_proxy: FaultProxy) -> Iterator[S3Store]:
    with open_filesystem(s3_liar, s3_liar_proxy.endpoint) as filesystem:
        yield S3Store(filesystem)


@pytest.fixture
def folder(s3_liar_bucket: str) -> str:
    return f"{s3_liar_bucket}/{uuid.uuid4().hex}"


@pytest.fixture
def store(s3_liar_filesystem: Any) -> S3Store:
    """As it is, believing the server."""
    return S3Store(s3_liar_filesystem, block_size=PART, copy_part_size=PART)


class TestLastWriterWinsOnALiar(StoreConformance):
    """But for races every promise is kept, without one condition of the server's."""

    guarantee = Guarantee.LAST_WRITER_WINS
    equal_bodies_have_equal_tokens = True
    tokens_are_of_the_body = False  # a reader can get ETag and length of the version before
    an_object_can_have_objects_below = False  # JuiceFS is a file system

    @pytest.fixture
    def store(self, store: S3Store) -> LastWriterWins:
        return LastWriterWins(Retrying(store, SystemClock()))

    @pytest.fixture
    def folder(self, folder: str) -> str:
        return folder


# The lie


def test_the_server_writes_over_a_newer_version_whatever_the_condition(store: S3Store, folder: str) -> None:
    old = store.create(f"{folder}/x", b"1")
    store.replace(f"{folder}/x", b"2", old)
    store.replace(f"{folder}/x", b"3", old)  # stale, and no conflict
    assert store.read(f"{folder}/x")[0] == b"3"


def test_the_server_creates_what_exists_and_replaces_what_is_gone(store: S3Store, folder: str) -> None:
    token = store.create(f"{folder}/x", b"1")
    store.create(f"{folder}/x", b"2")
    assert store.read(f"{folder}/x")[0] == b"2"
    store.delete([f"{folder}/x"])
    store.replace(f"{folder}/x", b"3", token)
    assert store.read(f"{folder}/x")[0] == b"3"


def test_the_liar_is_found_out_and_said_so_once(
    store: S3Store, folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert store.guarantee is Guarantee.UNPROVEN
    with caplog.at_level(logging.WARNING, logger="ckptptr"):
        settled = with_known_guarantee(store, folder, SystemClock(), {})
    assert isinstance(settled, LastWriterWins)
    assert settled.guarantee is Guarantee.LAST_WRITER_WINS
    [said] = caplog.messages
    assert said.startswith(f"s3://{folder} does not support conditional writes")
    assert [*store.list(folder)] == []


def test_a_stale_token_is_noticed_all_the_same(store: S3Store, folder: str) -> None:
    settled = with_known_guarantee(store, folder, SystemClock(), {})
    old = settled.create(f"{folder}/x", b"1")
    settled.replace(f"{folder}/x", b"2", old)
    with pytest.raises(ConflictError, match="another version"):
        settled.replace(f"{folder}/x", b"3", old)
    assert settled.read(f"{folder}/x")[0] == b"2"


# A deletion of many wants Content-MD5 here, which the SDKs no longer send


def test_what_cannot_be_deleted_at_once_is_deleted_one_by_one_from_then_on(
    proxied: S3Store, s3_liar_proxy: FaultProxy, folder: str
) -> None:
    names = [f"{folder}/{number}" for number in range(3)]
    for name in names:
        proxied.create(name, b"1")
    s3_liar_proxy.reset()
    proxied.delete([*names[:2], f"{folder}/never/was"])
    proxied.delete(names[2:])
    assert [seen.method for seen in s3_liar_proxy.log] == ["POST"] + ["DELETE"] * 4
    assert [*proxied.list(folder)] == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((400, code) for code in ("InvalidRequest", "MissingArgument", "MalformedXML")),
        (404, "NoSuchKey"),
        (405, "MethodNotAllowed"),
        (411, "MissingContentLength"),
        (501, "NotImplemented"),
    ],
)
def test_the_same_refusal_in_the_words_of_others_is_understood(
    proxied: S3Store, s3_liar_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    proxied.create(f"{folder}/x", b"1")
    s3_liar_proxy.add(Rule(method="POST", status=status, code=code))
    proxied.delete([f"{folder}/x"])
    assert [*proxied.list(folder)] == []


def test_a_single_deletion_that_is_refused_is_access_denied(
    proxied: S3Store, s3_liar_proxy: FaultProxy, folder: str
) -> None:
    proxied.create(f"{folder}/x", b"1")
    s3_liar_proxy.add(Rule(method="DELETE", status=403, code="AccessDenied"))
    with pytest.raises(AccessDeniedError, match="s3:DeleteObject") as caught:
        proxied.delete([f"{folder}/x"])
    assert caught.value.key == f"s3://{folder}/x"


def test_a_single_deletion_of_what_is_gone_may_be_answered_with_404(
    proxied: S3Store, s3_liar_proxy: FaultProxy, folder: str
) -> None:
    s3_liar_proxy.add(Rule(method="DELETE", status=404, code="NoSuchKey"))
    proxied.delete([f"{folder}/x"])


@pytest.mark.parametrize(
    ("status", "code"), [(403, "AccessDenied"), (403, ""), (503, "SlowDown"), (429, "TooManyRequests")]
)
def test_a_refusal_that_is_not_about_the_kind_of_request_is_passed_on(
    proxied: S3Store, s3_liar_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    s3_liar_proxy.add(Rule(method="POST", status=status, code=code, times=None))
    with pytest.raises(ckptptr.CkptptrError):
        proxied.delete([f"{folder}/x"])
    assert {seen.method for seen in s3_liar_proxy.log} == {"POST"}


# A whole life


class Life:
    """The attempts of one run, and the object that everybody fights for."""

    def __init__(self, filesystem: Any, folder: str, scratch: Path) -> None:
        self._filesystem = filesystem
        self._folder = folder
        self._scratch = scratch
        self._opened: list[ckptptr.Checkpoints] = []
        self._store = S3Store(filesystem)
        self._latest = latest_key(folder)

    def attempt(self, number: int, **options: Any) -> ckptptr.Checkpoints:
        opened = ckptptr.open(f"s3://{self._folder}", attempt=number, filesystem=self._filesystem, **options)
        self._opened.append(opened)
        return opened

    def save(self, run: ckptptr.Checkpoints, step: int) -> bytes:
        """Save a step; LATEST as it is then."""
        state = self._scratch / "state"
        state.mkdir(exist_ok=True)
        (state / "model").write_text(f"step {step}")
        run.save(state, step=step)
        run.wait()
        return self.latest()

    def restore(self, run: ckptptr.Checkpoints) -> str:
        folder = run.restore(self._scratch / uuid.uuid4().hex)
        assert folder is not None
        return (folder / "model").read_text()

    def latest(self) -> bytes:
        return self._store.read(self._latest)[0]

    def roll_back(self, latest: bytes) -> None:
        """As a process that was stalled does where nobody checks its condition."""
        self._store.upload(self._latest, [latest])

    def close(self) -> None:
        for opened in self._opened:
            opened.close()


@pytest.fixture
def life(
    s3_liar_filesystem: Any, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Life]:
    monkeypatch.delenv(GUARANTEE.name, raising=False)
    life = Life(s3_liar_filesystem, folder, tmp_path)
    yield life
    life.close()


def test_what_one_attempt_saved_the_next_restores(life: Life) -> None:
    life.save(life.attempt(0), 1)
    second = life.attempt(1)
    assert life.restore(second) == "step 1"
    second.wait()
    life.save(second, 2)
    assert life.restore(life.attempt(2)) == "step 2"


def test_a_latest_rolled_back_within_an_attempt_hides_nothing(life: Life) -> None:
    first = life.attempt(0)
    old = life.save(first, 1)
    life.save(first, 2)
    life.roll_back(old)
    second = life.attempt(1)
    assert life.restore(second) == "step 2"
    assert second.resolution is not None
    assert second.resolution.verdict is ckptptr.Verdict.WALKBACK


def test_a_latest_rolled_back_across_attempts_hides_nothing_and_is_put_right(life: Life) -> None:
    old = life.save(life.attempt(0), 1)
    second = life.attempt(1)
    assert life.restore(second) == "step 1"
    second.wait()
    life.save(second, 2)
    life.save(second, 3)
    life.roll_back(old)
    third = life.attempt(2)
    assert life.restore(third) == "step 3"
    third.wait()
    assert third.history()[0].step == 3
    assert life.restore(life.attempt(3)) == "step 3"


def test_retention_removes_what_it_lets_go(life: Life, store: S3Store, folder: str) -> None:
    run = life.attempt(0, retention=ckptptr.Retention(keep_last=1))
    for step in range(1, 6):
        life.save(run, step)
    manifests = [entry for entry in store.list(folder) if "/manifests/" in entry.key]
    assert len(manifests) < 5
    assert life.restore(life.attempt(1)) == "step 5"
