"""What an adapter makes of a failing network, as a pytest suite: for stores that are reached through HTTP.

    class TestMyStoreWithFaults(FaultConformance):
        dialect = Dialect(denied={"status": 403, "code": "AccessDenied"}, ...)

        @pytest.fixture
        def network(self): ...            # a proxy that fails on command

        @pytest.fixture
        def store(self, network): ...     # through it

Subclasses also give `impatient`, the same with two tries at most and short timeouts, and `folder`. Limits
of an adapter are declared in class attributes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, Protocol

import pytest

from ckptptr.errors import (
    AccessDeniedError,
    ConflictError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.stores.port import Entry, Store, Token
from ckptptr.stores.wrappers.last_writer import LastWriterWins

OPERATIONS: dict[str, Callable[[Store, str], object]] = {
    "read": lambda store, key: store.read(key),
    "download": lambda store, key: b"".join(store.download(key, 0, 1)),
    "create": lambda store, key: store.create(key, b"1"),
    "replace": lambda store, key: store.replace(key, b"1", Token("1")),
    "upload": lambda store, key: store.upload(key, [b"1"]),
    "large upload": lambda store, key: store.upload(key, [bytes(store.block_size)] * 2),
    "list": lambda store, key: [*store.list(key)],
    "delete": lambda store, key: store.delete([key]),
    "copy": lambda store, key: store.copy(key, f"{key}-copy"),
}
"""One call of each kind, on an object of which nothing is known."""

GATEWAY_PAGES = (
    "<html><body>default backend - 404<Code>NoSuchKey</Code></body></html>",
    '{"message": "no Route matched", "error": {"code": "BlobNotFound", "Code": "NoSuchKey"}}',
    "404 page not found",
)
"""What something between us and the store says in its place; no word of it is the store's."""

_KEEPS_FAILING = ("busy", "slow", "broken", "cut off", "silent")


class SeenRequest(Protocol):
    """A request that reached the proxy. `status` is 0 when it gave no answer."""

    method: str
    path: str
    status: int


class Network(Protocol):
    """A proxy before the server, as `tests/servers/proxy.py` of this project is one."""

    @property
    def log(self) -> Sequence[SeenRequest]:
        """Every request so far."""

    def fail(self, **rule: Any) -> None:
        """What to do to a request. It matches by `method` (`PUT|POST`) and by `path`, a regular expression.

        `times` is how many requests it applies to, None for all; `skip` how many it spares first. The rest
        says what happens: `status` with `code` or `body` answers in the server's place; `drop` cuts the
        connection `before` or `after` the server has done its work; `hang` never answers; `cut` cuts the
        answer after that many bytes; `corrupt` flips a bit of the first byte of the answer; `garble` one of
        that byte of the request.
        """


@dataclass(frozen=True)
class Dialect:
    """How this kind of store words its refusals, each as arguments of `Network.fail`; and how it is written
    to."""

    denied: Mapping[str, Any]
    busy: Mapping[str, Any]
    conflicts: Sequence[Mapping[str, Any]]
    permissions: Mapping[str, str]
    """What the message names for each operation, as regular expressions."""
    no_bucket: str
    write: Mapping[str, Any]
    """A conditional write, as `method` and `path`."""
    part: Mapping[str, Any]
    """A part of a large upload."""
    hidden: str = ""
    """What a refused read says besides, where the store refuses to say that an object is missing."""
    absent: Mapping[str, Any] | None = None
    """How it says that an object does not exist, where it says that of a bucket in other words."""
    explained: Mapping[str, Any] | None = None
    """A refusal that says `because of <a rule>?sig=hush`, where `sig=hush` is a secret."""


class FaultConformance:
    """Subclasses give `dialect`, and the fixtures `network`, `store`, `impatient` and `folder`."""

    dialect: ClassVar[Dialect]

    sends: ClassVar[tuple[int, ...]] = (2, 4)
    """Requests of one call of `impatient`; an HTTP library may send again when a connection drops."""

    storm: ClassVar[tuple[float, float]] = (0.0, 60.0)
    """The least and the most seconds that a call takes while the store is busy."""

    tries: ClassVar[int] = 5
    """Requests of one call of `store` while the store is busy."""

    makes_buckets: ClassVar[bool] = False
    """A write to a bucket that does not exist makes it."""

    checks_payload: ClassVar[bool] = True
    """What changed on the way to the store is refused."""

    most_fed: ClassVar[int] = 30
    """Blocks that an upload takes at most after one of them was refused."""

    @pytest.fixture
    def network(self) -> Network:
        raise NotImplementedError("a subclass gives the proxy")

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("a subclass gives the store under test, through the proxy")

    @pytest.fixture
    def impatient(self) -> Store:
        raise NotImplementedError("a subclass gives the store with few tries")

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError("a subclass gives a fresh key prefix")

    # Answers that are not the store's

    @pytest.mark.parametrize(
        ("operation", "answer"),
        [
            *product(("read", "download", "list", "copy"), product((200, 404), GATEWAY_PAGES)),
            ("read", (301, "moved")),
        ],
    )
    def test_a_page_of_a_gateway_proves_nothing(
        self, store: Store, network: Network, folder: str, operation: str, answer: tuple[int, str]
    ) -> None:
        store.upload(f"{folder}/x", [b"1"])
        status, page = answer
        network.fail(status=status, body=page, code="", times=None)
        with pytest.raises(StoreUnavailableError) as caught:
            OPERATIONS[operation](store, f"{folder}/x")
        assert not isinstance(caught.value, AccessDeniedError)

    @pytest.mark.parametrize("page", GATEWAY_PAGES)
    def test_a_page_of_a_gateway_lets_no_last_writer_overwrite(
        self, store: Store, network: Network, folder: str, page: str
    ) -> None:
        store.upload(f"{folder}/x", [b"1"])
        network.fail(method="GET", status=404, body=page, code="", times=None)
        with pytest.raises(StoreUnavailableError):
            LastWriterWins(store).create(f"{folder}/x", b"2")
        assert [seen.method for seen in network.log][-1] == "GET"

    def test_a_single_page_among_answers_of_the_store_hides_no_object(
        self, store: Store, network: Network, folder: str
    ) -> None:
        store.upload(f"{folder}/x", [b"1"])
        network.fail(method="GET", status=404, body=GATEWAY_PAGES[0], code="")
        with suppress(StoreUnavailableError):
            assert store.read(f"{folder}/x")[0] == b"1"
        assert store.read(f"{folder}/x")[0] == b"1"

    @pytest.mark.parametrize("page", GATEWAY_PAGES)
    @pytest.mark.parametrize(
        "answer", [*product(("create", "replace"), (409, 412)), ("download", 416), ("read", 412)]
    )
    def test_a_page_of_a_gateway_is_no_lost_race_and_no_end_of_an_object(
        self, store: Store, network: Network, folder: str, answer: tuple[str, int], page: str
    ) -> None:
        operation, status = answer
        store.upload(f"{folder}/x", [b"1"])
        network.fail(status=status, body=page, code="", times=None)
        with pytest.raises(StoreUnavailableError):
            OPERATIONS[operation](store, f"{folder}/x")

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_page_of_a_gateway_names_no_missing_bucket(
        self, store: Store, network: Network, folder: str, operation: str
    ) -> None:
        page = "<html><body><Error><Code>NoSuchBucket</Code></Error></body></html>"
        network.fail(status=404, body=page, code="", times=None)
        with pytest.raises(StoreUnavailableError):
            OPERATIONS[operation](store, f"{folder}/x")

    def test_a_refusal_by_a_gateway_names_no_permission(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(status=403, body=GATEWAY_PAGES[0], code="", times=None)
        for operation in ("read", "create", "upload", "list"):
            with pytest.raises(StoreUnavailableError) as caught:
                OPERATIONS[operation](store, f"{folder}/x")
            assert "Grant" not in str(caught.value)
            assert re.search("not in the store's words|not that of", str(caught.value))

    def test_that_an_object_is_absent_is_no_answer_to_a_listing(
        self, store: Store, network: Network, folder: str
    ) -> None:
        if self.dialect.absent is None:
            pytest.skip("declared: the same words speak of the bucket there")
        network.fail(**self.dialect.absent, times=None)
        with pytest.raises(StoreUnavailableError):
            [*store.list(folder)]

    # Conditional writes

    def test_a_create_whose_reply_is_lost_has_landed(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(**self.dialect.write, drop="after")
        with pytest.raises((ConflictError, StoreUnavailableError)):
            store.create(f"{folder}/x", b"1")
        assert store.read(f"{folder}/x")[0] == b"1"

    def test_a_replace_whose_reply_is_lost_has_landed(
        self, store: Store, network: Network, folder: str
    ) -> None:
        token = store.create(f"{folder}/x", b"1")
        network.fail(**self.dialect.write, drop="after")
        with pytest.raises((ConflictError, StoreUnavailableError)):
            store.replace(f"{folder}/x", b"2", token)
        assert store.read(f"{folder}/x")[0] == b"2"

    def test_a_refused_condition_is_a_conflict_even_if_nothing_is_there(
        self, store: Store, network: Network, folder: str
    ) -> None:
        for conflict in self.dialect.conflicts:
            network.fail(**self.dialect.write, **conflict)
            with pytest.raises(ConflictError):
                store.create(f"{folder}/x", b"1")

    # Failures that pass

    def test_a_connection_cut_before_the_server_heard_is_made_good(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(drop="before")
        store.create(f"{folder}/x", b"1")
        assert [seen.status // 100 for seen in network.log] == [0, 2]

    def test_a_store_that_is_busy_twice_is_waited_for(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(**self.dialect.busy, times=2)
        store.create(f"{folder}/x", b"1")
        busy = self.dialect.busy["status"]
        assert [seen.status for seen in network.log][:2] == [busy, busy]
        assert len(network.log) == 3

    @pytest.mark.parametrize("operation", ["read", "create", "list"])
    def test_a_store_that_stays_busy_is_given_up_in_time(
        self, store: Store, network: Network, folder: str, operation: str
    ) -> None:
        network.fail(**self.dialect.busy, times=None)
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError, match=str(self.dialect.busy["status"])):
            OPERATIONS[operation](store, f"{folder}/x")
        assert len(network.log) == self.tries
        assert self.storm[0] < time.monotonic() - began < self.storm[1]

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("failure", _KEEPS_FAILING)
    def test_a_server_that_keeps_failing_is_unavailable(
        self, impatient: Store, network: Network, folder: str, operation: str, failure: str
    ) -> None:
        rules: dict[str, Mapping[str, Any]] = {
            "busy": self.dialect.busy,
            "slow": {"status": 429},
            "broken": {"status": 500},
            "cut off": {"drop": "before"},
            "silent": {"hang": True},
        }
        network.fail(**rules[failure], times=None)
        with pytest.raises(StoreUnavailableError) as caught:
            OPERATIONS[operation](impatient, f"{folder}/x")
        assert type(caught.value) is StoreUnavailableError
        is_named = re.search(r"no answer to \w+ from http://127\.0\.0\.1:\d+ \(", str(caught.value))
        assert is_named or "status" in rules[failure]
        # An upload that was given up before may still send something. Some URLs have no names in them.
        own = [seen for seen in network.log if folder.rpartition("/")[2] in seen.path]
        sent = len(own or network.log)
        assert sent in self.sends or (operation == "large upload" and sent <= 2 * max(self.sends))

    # What is no answer

    @pytest.mark.parametrize("operation", ["read", "create", "upload", "list", "copy"])
    @pytest.mark.parametrize("body", ["<html>Log in to this network</html>", "[]", "{}"])
    def test_an_answer_of_something_else_is_no_answer(
        self, impatient: Store, network: Network, folder: str, operation: str, body: str
    ) -> None:
        network.fail(status=200, body=body, times=None)
        with pytest.raises(StoreUnavailableError):
            OPERATIONS[operation](impatient, f"{folder}/x")

    @pytest.mark.parametrize("operation", ["read", "download", "list", "copy"])
    def test_a_404_of_something_else_proves_no_absence(
        self, impatient: Store, network: Network, folder: str, operation: str
    ) -> None:
        network.fail(status=404, code="", times=None)
        with pytest.raises((StoreUnavailableError, InvalidArgumentError)):
            OPERATIONS[operation](impatient, f"{folder}/x")

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_bucket_that_does_not_exist_is_never_an_absent_object(
        self, store: Store, operation: str
    ) -> None:
        is_write = operation in ("create", "replace", "upload", "large upload")
        if operation == "replace" or (is_write and self.makes_buckets):
            pytest.skip("declared, or the condition is refused first")
        with pytest.raises(InvalidArgumentError, match=self.dialect.no_bucket):
            OPERATIONS[operation](store, "no-such-bucket-here/x")

    # Refusals

    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_a_refusal_names_the_permission_that_is_missing(
        self, store: Store, network: Network, folder: str, operation: str
    ) -> None:
        permission = self.dialect.permissions[operation]
        network.fail(**self.dialect.denied)
        with pytest.raises(AccessDeniedError, match=permission):
            OPERATIONS[operation](store, f"{folder}/x")
        assert sum(seen.status == self.dialect.denied["status"] for seen in network.log) == 1

    def test_a_refused_read_says_that_the_object_may_just_be_missing(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(**self.dialect.denied)
        with pytest.raises(AccessDeniedError, match=self.dialect.hidden or None):
            store.read(f"{folder}/x")

    def test_a_refusal_shows_what_the_store_says_and_no_secret_in_it(
        self, store: Store, network: Network, folder: str
    ) -> None:
        if self.dialect.explained is None:
            pytest.skip("declared: it says nothing")
        network.fail(**self.dialect.explained, times=None)
        for operation in ("read", "create", "upload", "large upload", "list"):
            with pytest.raises(AccessDeniedError, match=r'\("because of <a rule>[^"]*"\)') as caught:
                OPERATIONS[operation](store, f"{folder}/x")
            assert "hush" not in str(caught.value)

    # Payload

    def test_a_download_that_is_cut_is_completed_or_unavailable_and_never_damaged(
        self, store: Store, impatient: Store, network: Network, folder: str
    ) -> None:
        body = bytes(range(256)) * 4096
        store.upload(f"{folder}/x", [body[: store.block_size]])
        size = min(len(body), store.block_size)
        network.fail(method="GET", cut=size // 2)
        with suppress(StoreUnavailableError):
            assert b"".join(store.download(f"{folder}/x", 0, size)) == body[:size]
        network.fail(method="GET", cut=0, times=None)
        with pytest.raises(StoreUnavailableError):
            b"".join(impatient.download(f"{folder}/x", 0, size))

    def test_a_bit_flipped_in_a_range_is_left_to_the_digests_of_the_manifest(
        self, store: Store, network: Network, folder: str
    ) -> None:
        store.upload(f"{folder}/x", [b"1234"])
        network.fail(method="GET", corrupt=True)
        assert b"".join(store.download(f"{folder}/x", 1, 2)) == b"33"
        assert b"".join(store.download(f"{folder}/x", 1, 2)) == b"23"

    @pytest.mark.parametrize("count", [1, 3])
    def test_an_upload_that_changed_on_the_way_is_refused_as_declared(
        self, impatient: Store, network: Network, folder: str, count: int
    ) -> None:
        rule = self.dialect.part if count > 1 else {"method": "PUT|POST"}
        network.fail(**rule, garble=impatient.block_size // 2, times=None)
        blocks = [bytes(impatient.block_size)] * count
        if not self.checks_payload:
            impatient.upload(f"{folder}/x", blocks)
            return
        with pytest.raises(StoreUnavailableError):
            impatient.upload(f"{folder}/x", blocks)
        assert [*impatient.list(folder)] == []

    @pytest.mark.parametrize("number", [0, 1])
    @pytest.mark.parametrize("failure", ["busy", "unheard", "lost reply"])
    def test_a_large_upload_goes_on_after_a_failure_at_any_part(
        self, store: Store, network: Network, folder: str, number: int, failure: str
    ) -> None:
        rules = {"busy": self.dialect.busy, "unheard": {"drop": "before"}, "lost reply": {"drop": "after"}}
        network.fail(**{**self.dialect.part, **rules[failure]}, skip=number)
        size = store.block_size
        store.upload(f"{folder}/x", [b"a" * size, b"b" * size, b"c"])
        assert b"".join(store.download(f"{folder}/x", size - 1, 2)) == b"ab"
        assert [*store.list(folder)] == [Entry(f"{folder}/x", 2 * size + 1)]

    def test_an_upload_ends_early_when_a_part_is_refused(
        self, store: Store, network: Network, folder: str
    ) -> None:
        network.fail(**{**self.dialect.denied, **self.dialect.part})
        fed = []

        def blocks() -> Iterator[bytes]:
            for number in range(100):
                fed.append(number)
                yield bytes(store.block_size)

        with pytest.raises(AccessDeniedError, match=self.dialect.permissions["large upload"]):
            store.upload(f"{folder}/x", blocks())
        assert len(fed) <= self.most_fed
        assert [*store.list(folder)] == []
        with pytest.raises(NotFoundError):
            store.read(f"{folder}/x")
        assert re.search(self.dialect.part.get("path", ""), "".join(seen.path for seen in network.log))
