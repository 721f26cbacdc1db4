"""`ckptptr.open` on servers that do not speak all of S3, or lose an answer: a real one behind a proxy."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.clock import SystemClock
from ckptptr.errors import AccessDeniedError, StoreUnavailableError
from ckptptr.settings import ENGINE, GUARANTEE
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Entry, Guarantee, Store, UnsupportedError
from ckptptr.stores.s3.client import takes_checksums
from ckptptr.stores.s3.store import S3Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying
from tests.servers import old_s3
from tests.servers.proxy import FaultProxy, Rule
from tests.servers.s3 import open_filesystem
from tests.servers.seaweed import Seaweed

pytestmark = pytest.mark.servers

LARGE = bytes(range(256)) * (17 << 12)  # 17 MiB: too large for one request
PART = 5 * 1024 * 1024
HAS_OBSTORE = sys.version_info >= (3, 11)
ENGINES = ["fsspec", "obstore"] if HAS_OBSTORE else ["fsspec"]
needs_obstore = pytest.mark.skipif(not HAS_OBSTORE, reason="obstore needs Python 3.11")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv(GUARANTEE.name, raising=False)
    monkeypatch.setenv(ENGINE.name, request.param)
    return str(request.param)


class Life:
    """The attempts of one run, with a large file and a small one."""

    def __init__(self, filesystem: Any, url: str, scratch: Path, engine: str) -> None:
        self.url = url
        self.engine = engine
        self._filesystem = filesystem
        self._state = scratch / "state"
        self._restored = scratch / "restored"
        self._state.mkdir()
        (self._state / "large").write_bytes(LARGE)

    def attempt(self, number: int) -> ckptptr.Checkpoints:
        keep_one = ckptptr.Retention(keep_last=1)
        return ckptptr.open(self.url, attempt=number, filesystem=self._filesystem, retention=keep_one)

    def save(self, run: ckptptr.Checkpoints, step: int) -> None:
        (self._state / "small").write_text(f"{step}")
        run.save(self._state, step=step)
        run.wait()

    def check(self, run: ckptptr.Checkpoints, step: int) -> None:
        """Restore, and compare."""
        assert run.restore(self._restored)
        assert (self._restored / "small").read_text() == f"{step}"
        assert (self._restored / "large").read_bytes() == LARGE


@pytest.fixture
def own_bucket(s3_filesystem: Any) -> str:
    """Where uploads may stay unfinished."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_filesystem.call_s3("create_bucket", Bucket=bucket)
    return bucket


@pytest.fixture
def life(s3_proxied: Any, own_bucket: str, engine: str, tmp_path: Path) -> Life:
    return Life(s3_proxied, f"s3://{own_bucket}/run", tmp_path, engine)


@pytest.fixture
def by_obstore(s3_proxied_settings: dict[str, Any], folder: str) -> Store:
    """A store in which obstore sends all requests, as in Flyte 2."""
    return open_store(f"s3://{folder}", settings=s3_proxied_settings)[0]


def add(proxy: FaultProxy, rules: Iterable[Rule]) -> None:
    for rule in rules:
        proxy.add(rule)


def is_by_obstore(proxy: FaultProxy) -> bool:
    """botocore has the parameters in another order. The first part may have been a trial."""
    return any("?partNumber=2&" in seen.path and seen.status == 200 for seen in proxy.log)


def refused(proxy: FaultProxy) -> list[str]:
    return [f"{seen.method} {seen.path}" for seen in proxy.log if seen.status in (400, 405, 501)]


# What a server does not take

ODDITIES: dict[str, Callable[[], list[Rule]]] = {
    "no checksums": old_s3.takes_no_checksums,
    "object lock": old_s3.has_object_lock,
    "no IsTruncated": old_s3.does_not_say_whether_there_is_more,
    "no conditions": old_s3.takes_no_conditions,
    "no deletion of many": old_s3.deletes_singly,
    "nothing of it": lambda: [
        *old_s3.does_not_say_whether_there_is_more(),
        *old_s3.takes_no_conditions(),
        *old_s3.takes_no_checksums(status=501, code="NotImplemented"),
        *old_s3.deletes_singly(status=400, code="MalformedXML"),
    ],
}


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_run_lives_there_and_what_was_refused_is_not_sent_again(
    life: Life, s3_proxy: FaultProxy, oddity: str
) -> None:
    add(s3_proxy, ODDITIES[oddity]())
    with life.attempt(0) as run:
        for step in (1, 2, 3):  # the third deletes the first
            life.save(run, step)
        learnt = len(refused(s3_proxy))
        life.save(run, 4)
        assert refused(s3_proxy)[learnt:] == []
    with life.attempt(1) as run:
        life.check(run, 4)
    assert is_by_obstore(s3_proxy) is (life.engine == "obstore")


@pytest.mark.parametrize("how", ["by the environment", "in the filesystem"])
def test_botocores_own_switch_is_honoured(
    s3_server: Seaweed,
    s3_proxy: FaultProxy,
    s3_bucket: str,
    engine: str,
    tmp_path: Path,
    how: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("request_checksum_calculation", "response_checksum_validation")
    settings = dict.fromkeys(names, "when_required") if how == "in the filesystem" else {}
    for name in () if settings else names:
        monkeypatch.setenv(f"AWS_{name.upper()}", "when_required")
    add(s3_proxy, old_s3.takes_no_checksums())
    with open_filesystem(s3_server, s3_proxy.endpoint, config_kwargs=settings) as filesystem:
        life = Life(filesystem, f"s3://{s3_bucket}/{uuid.uuid4().hex}", tmp_path, engine)
        with life.attempt(0) as run:
            life.save(run, 1)
        with life.attempt(1) as run:
            life.check(run, 1)
    # To delete many at once needs a checksum: the probe does that first, and each attempt learns it.
    assert {request.partition("?")[2] for request in refused(s3_proxy)} == {"delete"}
    assert is_by_obstore(s3_proxy) is (engine == "obstore")


def test_bytes_that_changed_on_the_way_are_no_reason_to_send_without_a_checksum(
    impatient: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(method="PUT", garble=0, times=None))
    with pytest.raises(StoreUnavailableError):
        impatient.upload(f"{folder}/x", [b"1"])
    s3_proxy.reset()
    impatient.upload(f"{folder}/x", [b"1"])
    assert takes_checksums(impatient._client._filesystem._s3.meta.config)


def test_another_refusal_leaves_the_checksums_as_they_were(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(method="PUT", status=400, code="InvalidArgument", times=2))
    with pytest.raises(StoreUnavailableError, match="InvalidArgument 400"):
        proxied.upload(f"{folder}/x", [b"1"])
    s3_proxy.reset()
    proxied.upload(f"{folder}/x", [b"1"])
    assert takes_checksums(proxied._client._filesystem._s3.meta.config)


REFUSALS = [(400, "InvalidArgument"), (405, "MethodNotAllowed"), (501, "NotImplemented"), (400, "")]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_server_that_takes_no_conditions_is_known_by_any_refusal(
    proxied: S3Store, s3_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    settles(proxied, s3_proxy, folder, status, code)


@needs_obstore
@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_obstore_knows_it_too(
    by_obstore: Store, s3_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    settles(by_obstore, s3_proxy, folder, status, code)


def settles(store: Store, proxy: FaultProxy, folder: str, status: int, code: str) -> None:
    """The last writer wins there."""
    add(proxy, old_s3.takes_no_conditions(status=status, code=code))
    settled = with_known_guarantee(store, folder, SystemClock(), {})
    assert settled.guarantee is Guarantee.LAST_WRITER_WINS
    token = settled.create(f"{folder}/x", b"1")
    settled.replace(f"{folder}/x", b"2", token)
    assert [*settled.list(folder)] == [Entry(f"{folder}/x", 1)]


def test_a_server_that_takes_no_write_at_all_is_not_taken_for_one_without_conditions(
    life: Life, s3_proxy: FaultProxy
) -> None:
    s3_proxy.add(Rule(method="PUT", status=501, code="NotImplemented", times=None))
    with pytest.raises(StoreUnavailableError, match="does not offer this operation"), life.attempt(0) as run:
        life.save(run, 1)


@needs_obstore
@pytest.mark.parametrize("is_large", [False, True])
def test_obstore_alone_sends_a_checksum_where_the_bucket_wants_one(
    by_obstore: Store, s3_proxy: FaultProxy, folder: str, is_large: bool
) -> None:
    add(s3_proxy, old_s3.has_object_lock())
    if is_large:
        by_obstore.upload(f"{folder}/large", [LARGE[: 8 << 20], LARGE[8 << 20 :]])
    token = by_obstore.create(f"{folder}/x", b"1")
    by_obstore.replace(f"{folder}/x", b"2", token)
    assert len(refused(s3_proxy)) == 1
    found = [entry.size for entry in by_obstore.list(folder)]
    assert found == ([len(LARGE), 1] if is_large else [1])


@needs_obstore
def test_a_bucket_that_takes_nothing_is_not_tried_again_and_again(
    by_obstore: Store, s3_proxy: FaultProxy, folder: str
) -> None:
    s3_proxy.add(Rule(method="PUT", status=400, code="InvalidRequest", times=None))
    with pytest.raises(UnsupportedError, match="InvalidRequest 400"):
        by_obstore.upload(f"{folder}/large", [LARGE[: 8 << 20], LARGE[8 << 20 :]])
    assert len(refused(s3_proxy)) == 2  # without a checksum, and with one


# The reply to a completion is lost


def test_a_file_whose_completion_was_not_confirmed_is_looked_for(
    life: Life, s3_proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    add(s3_proxy, old_s3.loses_the_reply_to_a_completion())
    with life.attempt(0) as run:
        life.save(run, 1)
    assert "NoSuchUpload" in caplog.text
    with life.attempt(1) as run:
        life.check(run, 1)


@pytest.mark.parametrize(("method", "path"), [("PUT", "partNumber=2"), ("POST", "uploadId=")])
def test_an_upload_that_is_really_gone_fails_the_save(
    life: Life, s3_proxy: FaultProxy, method: str, path: str
) -> None:
    s3_proxy.add(Rule(method=method, path=path, status=404, code="NoSuchUpload"))
    with life.attempt(0) as run:
        with pytest.raises(StoreUnavailableError, match="the store has nothing"):
            life.save(run, 1)
        life.save(run, 2)
    with life.attempt(1) as run:
        life.check(run, 2)


def test_a_copy_in_parts_whose_completion_was_not_confirmed_is_made_again(
    proxied: S3Store, store: S3Store, s3_proxy: FaultProxy, folder: str
) -> None:
    store.upload(f"{folder}/x", [LARGE[:PART], LARGE[PART : 2 * PART], b"3"])
    add(s3_proxy, old_s3.loses_the_reply_to_a_completion())
    Retrying(proxied, SystemClock()).copy(f"{folder}/x", f"{folder}/y")
    assert [entry.size for entry in store.list(folder)] == [2 * PART + 1] * 2


# Deletions


@needs_obstore
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "MissingArgument"),
        (400, "MalformedXML"),
        (404, "NoSuchKey"),
        (405, "MethodNotAllowed"),
        (501, "NotImplemented"),
    ],
)
def test_what_obstore_cannot_delete_at_once_is_deleted_one_by_one_from_then_on(
    by_obstore: Store, s3_proxy: FaultProxy, folder: str, status: int, code: str
) -> None:
    add(s3_proxy, old_s3.deletes_singly(status=status, code=code))
    names = [f"{folder}/{name}" for name in ("a", "b c", "d%2Fé", "e+f")]
    for name in names:
        by_obstore.create(name, b"1")
    by_obstore.delete(names[:2])
    assert [entry.key for entry in by_obstore.list(folder)] == names[2:]
    learnt = len(refused(s3_proxy))
    by_obstore.delete([*names[2:], f"{folder}/never/was"])
    assert len(refused(s3_proxy)) == learnt
    assert [*by_obstore.list(folder)] == []


@needs_obstore
@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ({"status": 403, "code": "AccessDenied"}, AccessDeniedError, "s3:DeleteObject"),
        ({"status": 503, "code": "SlowDown"}, StoreUnavailableError, "SlowDown 503"),
        ({"drop": "before"}, StoreUnavailableError, "no answer to delete from http://127.0.0.1"),
    ],
)
def test_a_single_deletion_by_obstore_that_fails_is_an_error_without_its_signature(
    by_obstore: Store,
    s3_proxy: FaultProxy,
    folder: str,
    fault: dict[str, Any],
    error: type[ckptptr.CkptptrError],
    words: str,
) -> None:
    add(s3_proxy, old_s3.deletes_singly(status=405))
    by_obstore.create(f"{folder}/x", b"1")
    s3_proxy.add(Rule(method="DELETE", **fault))
    with pytest.raises(error, match=words) as caught:
        by_obstore.delete([f"{folder}/x"])
    assert caught.value.key == f"s3://{folder}/x"
    assert "Signature" not in f"{caught.value}{caught.value.__cause__}"
    by_obstore.delete([f"{folder}/x"])
    assert [*by_obstore.list(folder)] == []


# Listings


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_a_full_page_that_does_not_say_whether_there_is_more_is_not_the_last(
    s3_proxied: Any, s3_proxy: FaultProxy, folder: str, count: int
) -> None:
    store = S3Store(s3_proxied, page=2)
    for number in range(count):
        store.upload(f"{folder}/{number}", [b"1"])
        store.upload(f"{folder}/folders/{number}/x", [b"1"])
    add(s3_proxy, old_s3.does_not_say_whether_there_is_more())
    files = [Entry(f"{folder}/{number}", 1) for number in range(count)]
    assert [*store.list(folder)][:count] == files
    assert sum(1 for _ in store.stream(folder)) == 2 * count
    assert store.folders(f"{folder}/folders") == [str(number) for number in range(count)]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="obstore needs Python 3.11")
@pytest.mark.parametrize("count", [1000, 1001])
def test_obstore_goes_on_behind_full_pages_too(
    s3_proxied_settings: dict[str, Any],
    s3_settings: dict[str, Any],
    s3_proxy: FaultProxy,
    folder: str,
    count: int,
) -> None:
    direct, _ = open_store(f"s3://{folder}", settings=s3_settings)
    names = [f"{number:04}" for number in range(count)]
    write_all(direct, [f"{folder}/{name}/x" for name in names])
    store, _ = open_store(f"s3://{folder}", settings=s3_proxied_settings)
    add(s3_proxy, old_s3.does_not_say_whether_there_is_more())
    assert [entry.key for entry in store.list(folder)] == [f"{folder}/{name}/x" for name in names]
    assert store.folders(folder) == names


def write_all(store: Store, keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(16) as pool:
        for _ in pool.map(lambda key: store.upload(key, [b"1"]), keys):
            pass


def test_a_listing_that_does_not_go_on_is_an_error(
    s3_proxied: Any, s3_proxy: FaultProxy, folder: str
) -> None:
    store = S3Store(s3_proxied, page=1)
    page = "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
    s3_proxy.add(Rule(method="GET", status=200, body=f"{page}</ListBucketResult>", times=None))
    with pytest.raises(StoreUnavailableError, match="does not go on"):
        [*store.list(folder)]


@needs_obstore
def test_a_listing_that_does_not_go_on_is_an_error_of_obstore_too(
    by_obstore: Store, s3_proxy: FaultProxy, folder: str
) -> None:
    found = "<LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size><ETag>1</ETag></Contents>"
    page = "".join(f"<Contents><Key>{folder}/{number}</Key>{found}" for number in range(1000))
    body = f"<ListBucketResult>{page}</ListBucketResult>"
    s3_proxy.add(Rule(method="GET", status=200, body=body, times=None))
    with pytest.raises(StoreUnavailableError, match="does not go on"):
        [*by_obstore.list(folder)]
    with pytest.raises(StoreUnavailableError, match="does not go on"):
        [*by_obstore.stream(folder)]  # type: ignore[attr-defined]


def test_a_page_of_a_gateway_is_no_empty_listing(s3_proxied: Any, s3_proxy: FaultProxy, folder: str) -> None:
    s3_proxy.add(Rule(method="GET", status=200, body="<html><body>Welcome</body></html>", times=None))
    with pytest.raises(StoreUnavailableError, match="the answer is no listing"):
        [*S3Store(s3_proxied).list(folder)]


def test_unfinished_uploads_are_listed_too(s3_proxied: Any, s3_proxy: FaultProxy, own_bucket: str) -> None:
    names = {f"{own_bucket}/run/{name}" for name in ("a", "b")}
    for name in names:
        s3_proxied.call_s3("create_multipart_upload", Bucket=own_bucket, Key=name.partition("/")[2])
    s3_proxy.add(Rule(method="GET", path="uploads", omit="<IsTruncated>.*?</IsTruncated>", times=None))
    assert {each.key for each in S3Store(s3_proxied).unfinished(f"{own_bucket}/run")} == names
