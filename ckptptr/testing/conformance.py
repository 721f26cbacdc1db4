"""The port's contract as a pytest suite: every adapter runs it, also yours.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self): return MyStore(...)

        @pytest.fixture
        def folder(self): return f"bucket/{uuid4()}"

A limit of an adapter is declared in a class attribute, never skipped silently. For readable assertions:
 `pytest.register_assert_rewrite("ckptptr.testing.conformance")` in a conftest.
"""

from __future__ import annotations

import gc
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import ClassVar, TypeVar

import pytest

from ckptptr.errors import ConflictError, DamagedError, NotFoundError
from ckptptr.stores.port import Entry, Guarantee, Store, Token

_T = TypeVar("_T")


class StoreConformance:
    """Subclasses give the fixtures `store` and `folder`, a key prefix that no test has used before."""

    guarantee: ClassVar[Guarantee] = Guarantee.COMPARE_AND_SWAP
    """What the store declares. Without compare-and-swap, racing writers are not tested."""

    refuses_stale_tokens: ClassVar[bool] = True
    """`replace` refuses another version than the given one, at least without a race."""

    equal_bodies_have_equal_tokens: ClassVar[bool] = False
    """The token depends only on the content: writing the same content again does not change it."""

    tokens_are_of_the_body: ClassVar[bool] = True
    """`read` gives body and token of one version, also while the object is overwritten."""

    an_object_can_have_objects_below: ClassVar[bool] = True
    """`a` and `a/b` can both exist, as on object stores and not on disks."""

    holds_few_blocks: ClassVar[bool] = True
    """`upload` keeps no more than a dozen blocks in memory, however many there are."""

    racers: ClassVar[int] = 8  # threads that race for one object

    odd_names: ClassVar[tuple[str, ...]] = (
        "with space",
        " lead and trail ",
        "ümläut-日本語-😀",
        "100%25",
        "a+b",
        "a#b",
        "a?b=c&d",
        "a=b;c,d",
        "~!@$^()[]{}'\"`|<>*",
        "back\\slash",
        "-dash",
        ".hidden",
        "..dots",
        "n" * 200,
    )
    """Legal in a key; many clients change such names on the way."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("a subclass gives the store under test")

    @pytest.fixture
    def folder(self) -> str:
        raise NotImplementedError("a subclass gives a fresh key prefix")

    def test_the_guarantee_is_declared_and_blocks_have_a_size(self, store: Store) -> None:
        assert store.guarantee is self.guarantee
        assert store.block_size > 0

    def test_a_url_ends_with_the_key(self, store: Store, folder: str) -> None:
        assert store.url(f"{folder}/x").endswith(f"{folder}/x")

    # read

    def test_reading_nothing_is_not_found(self, store: Store, folder: str) -> None:
        with pytest.raises(NotFoundError):
            store.read(f"{folder}/x")

    def test_a_folder_is_not_an_object(self, store: Store, folder: str) -> None:
        store.create(f"{folder}/x", b"1")
        with pytest.raises(NotFoundError):
            store.read(folder)

    @pytest.mark.parametrize("body", [b"", b"1", b"\x00\xff\r\n", b"x" * 100_000])
    def test_what_was_created_is_read(self, store: Store, folder: str, body: bytes) -> None:
        store.create(f"{folder}/x", body)
        assert store.read(f"{folder}/x")[0] == body

    def test_read_gives_the_token_that_the_write_gave(self, store: Store, folder: str) -> None:
        token = store.create(f"{folder}/x", b"1")
        assert store.read(f"{folder}/x") == (b"1", token)
        token = store.replace(f"{folder}/x", b"2", token)
        assert store.read(f"{folder}/x") == (b"2", token)

    # create

    @pytest.mark.parametrize("body", [b"1", b"2"])
    def test_create_refuses_what_exists_and_leaves_it(self, store: Store, folder: str, body: bytes) -> None:
        token = store.create(f"{folder}/x", b"1")
        with pytest.raises(ConflictError):
            store.create(f"{folder}/x", body)
        assert store.read(f"{folder}/x") == (b"1", token)

    def test_create_works_again_after_delete(self, store: Store, folder: str) -> None:
        store.create(f"{folder}/x", b"1")
        store.delete([f"{folder}/x"])
        store.create(f"{folder}/x", b"2")
        assert store.read(f"{folder}/x")[0] == b"2"

    def test_of_racing_creates_exactly_one_wins(self, store: Store, folder: str) -> None:
        if not self._swaps:
            pytest.skip("declared as last-writer-wins")
        won = self._race(store.create, f"{folder}/x")
        assert len(won) == 1
        assert store.read(f"{folder}/x")[0] == won[0]

    # replace

    def test_versions_have_different_tokens(self, store: Store, folder: str) -> None:
        first = store.create(f"{folder}/x", b"1")
        assert store.replace(f"{folder}/x", b"2", first) != first

    def test_a_token_of_equal_content_is_as_declared(self, store: Store, folder: str) -> None:
        first = store.create(f"{folder}/x", b"1")
        second = store.replace(f"{folder}/x", b"1", first)
        assert (first == second) is self.equal_bodies_have_equal_tokens

    def test_replace_refuses_an_old_token_as_guaranteed(self, store: Store, folder: str) -> None:
        old = store.create(f"{folder}/x", b"1")
        store.replace(f"{folder}/x", b"2", old)
        assert self._refused(store.replace, f"{folder}/x", b"3", old) is self.refuses_stale_tokens
        assert store.read(f"{folder}/x")[0] == (b"2" if self.refuses_stale_tokens else b"3")

    def test_replace_refuses_what_is_gone_as_guaranteed(self, store: Store, folder: str) -> None:
        token = store.create(f"{folder}/x", b"1")
        store.delete([f"{folder}/x"])
        assert self._refused(store.replace, f"{folder}/x", b"2", token) is self.refuses_stale_tokens
        assert len([*store.list(folder)]) == (0 if self.refuses_stale_tokens else 1)

    def test_replace_refuses_what_never_was_as_guaranteed(self, store: Store, folder: str) -> None:
        token = store.create(f"{folder}/x", b"1")
        assert self._refused(store.replace, f"{folder}/new/y", b"2", token) is self.refuses_stale_tokens

    def test_of_racing_replaces_exactly_one_wins_each_version(self, store: Store, folder: str) -> None:
        if not self._swaps:
            pytest.skip("declared as last-writer-wins")
        token = store.create(f"{folder}/x", b"0")
        for _ in range(5):
            won = self._race(store.replace, f"{folder}/x", token)
            assert len(won) == 1
            body, token = store.read(f"{folder}/x")
            assert body == won[0]

    def test_no_update_is_lost(self, store: Store, folder: str) -> None:
        if not self._swaps:
            pytest.skip("declared as last-writer-wins")
        store.create(f"{folder}/x", b"0")

        def count(_: int) -> None:
            for _ in range(5):
                while True:
                    body, token = store.read(f"{folder}/x")
                    more = b"%d" % (int(body) + 1)
                    if not self._refused(store.replace, f"{folder}/x", more, token):
                        break

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(count, range(4)))
        assert store.read(f"{folder}/x")[0] == b"20"

    def test_a_reader_sees_whole_versions_only_each_with_its_own_token(
        self, store: Store, folder: str
    ) -> None:
        versions: dict[Token, bytes] = {}
        with _watching(lambda: store.read(f"{folder}/x")) as seen:
            token = store.create(f"{folder}/x", b"0" * 50_000)
            versions[token] = b"0" * 50_000
            for number in range(1, 20):
                body = b"%d" % (number % 10) + b"%d" % number * 25_000
                token = store.replace(f"{folder}/x", body, token)
                versions[token] = body
        assert seen
        assert {body for body, _ in seen} <= {*versions.values()}
        if self.tokens_are_of_the_body:
            assert all(versions[token] == body for body, token in seen)

    # What a reader sees of other writes

    def test_a_read_sees_every_write_that_returned(self, store: Store, folder: str) -> None:
        x, y = f"{folder}/x", f"{folder}/y"
        token = store.create(x, b"1")
        assert b"".join(store.download(x, 0, 1)) == b"1"
        store.replace(x, b"2", token)
        assert store.read(x)[0] == b"".join(store.download(x, 0, 1)) == b"2"
        store.upload(x, [b"3"])
        assert store.read(x)[0] == b"".join(store.download(x, 0, 1)) == b"3"
        store.copy(x, y)
        assert store.read(y)[0] == b"".join(store.download(y, 0, 1)) == b"3"
        store.delete([x])
        for gone in (
            lambda: store.read(x),
            lambda: b"".join(store.download(x, 0, 1)),
            lambda: store.copy(x, y),
        ):
            with pytest.raises(NotFoundError):
                gone()
        assert store.read(y)[0] == b"3"

    def test_uploads_and_copies_are_seen_whole_or_not_at_all(self, store: Store, folder: str) -> None:
        size = 2 * store.block_size
        bodies = [bytes([letter]) * size for letter in b"ab"]
        with (
            _watching(lambda: store.read(f"{folder}/x")[0] in bodies) as uploaded,
            _watching(lambda: store.read(f"{folder}/y")[0] in bodies) as copied,
            _watching(lambda: {entry.size for entry in store.list(folder)} <= {size}) as listed,
        ):
            for body in bodies * 2:
                store.upload(f"{folder}/x", _cut(body, store.block_size))
                store.copy(f"{folder}/x", f"{folder}/y")
        for looks in (uploaded, copied, listed):
            assert looks
            assert all(looks)

    def test_threads_in_folders_of_their_own_do_not_meet(self, store: Store, folder: str) -> None:
        def live(number: int) -> None:
            mine, body = f"{folder}/{number}", bytes([number]) * (store.block_size + 1)
            for _ in range(3):
                token = store.create(f"{mine}/LATEST", b"%d" % number)
                store.upload(f"{mine}/x", _cut(body, store.block_size))
                store.copy(f"{mine}/x", f"{mine}/y")
                assert b"".join(store.download(f"{mine}/y", store.block_size, 1)) == body[:1]
                store.replace(f"{mine}/LATEST", b"%d again" % number, token)
                assert store.read(f"{mine}/LATEST")[0] == b"%d again" % number
                assert self._names(store, mine) == ["LATEST", "x", "y"]
                store.delete(f"{mine}/{name}" for name in ("LATEST", "x", "y"))
                assert self._names(store, mine) == []

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(live, range(4)))

    # list

    def test_a_folder_never_written_to_lists_nothing(self, store: Store, folder: str) -> None:
        assert [*store.list(folder)] == []
        assert [*store.list(f"{folder}/deep/er")] == []

    def test_an_object_is_not_a_folder(self, store: Store, folder: str) -> None:
        store.create(f"{folder}/x", b"1")
        assert [*store.list(f"{folder}/x")] == []

    def test_list_gives_every_depth_with_sizes_in_the_order_of_keys(self, store: Store, folder: str) -> None:
        names = ["a-b", "a.b", "a/b/c/d", "a/b.c", "a/x", "a0", "B", "a b", "é", "\uffee", "\U0001f600"]
        for size, name in enumerate(names):
            store.create(f"{folder}/{name}", b"x" * size)
        expected = sorted((f"{folder}/{name}", size) for size, name in enumerate(names))
        assert [*store.list(folder)] == [Entry(key, size) for key, size in expected]

    def test_list_leaves_out_folders_of_similar_name(self, store: Store, folder: str) -> None:
        for name in ("b/x", "bc/x", "b.x", "ab/x"):
            store.create(f"{folder}/{name}", b"1")
        assert self._names(store, f"{folder}/b") == ["x"]

    def test_an_object_can_have_objects_below_as_declared(self, store: Store, folder: str) -> None:
        if not self.an_object_can_have_objects_below:
            pytest.skip("declared: not both `a` and `a/b`")
        store.create(f"{folder}/a", b"1")
        store.create(f"{folder}/a/b", b"2")
        assert self._names(store, folder) == ["a", "a/b"]
        store.delete([f"{folder}/a"])
        assert self._names(store, folder) == ["a/b"]

    def test_a_listing_sees_every_write_that_returned(self, store: Store, folder: str) -> None:
        for name in ("p", "q", "r"):
            store.create(f"{folder}/{name}", b"1")
            assert name in self._names(store, folder)
            store.delete([f"{folder}/{name}"])
            assert name not in self._names(store, folder)

    def test_odd_names_round_trip(self, store: Store, folder: str) -> None:
        for name in self.odd_names:
            key = f"{folder}/{name}/{name}"
            token = store.create(key, name.encode())
            assert store.read(key) == (name.encode(), token)
            assert b"".join(store.download(key, 1, 1)) == name.encode()[1:2]
            store.copy(key, f"{folder}/{name}/copy")
        expected = sorted(f"{name}/{last}" for name in self.odd_names for last in (name, "copy"))
        assert self._names(store, folder) == expected
        store.delete([f"{folder}/{name}" for name in expected])
        assert self._names(store, folder) == []

    # delete

    def test_delete_removes_what_is_named_and_nothing_else(self, store: Store, folder: str) -> None:
        for name in ("a", "b", "b2", "c/d"):
            store.create(f"{folder}/{name}", b"1")
        store.delete(iter([f"{folder}/b", f"{folder}/c/d"]))
        assert self._names(store, folder) == ["a", "b2"]

    def test_deleting_what_is_gone_is_no_error(self, store: Store, folder: str) -> None:
        store.create(f"{folder}/x", b"1")
        store.delete([f"{folder}/x", f"{folder}/y", f"{folder}/no/such/folder"])
        store.delete([f"{folder}/x"])
        store.delete([])
        assert self._names(store, folder) == []

    # upload and download

    @pytest.mark.parametrize("extra", [-1, 0, 1])
    @pytest.mark.parametrize("blocks", [0, 1, 3])
    def test_any_size_is_uploaded_and_downloaded(
        self, store: Store, folder: str, blocks: int, extra: int
    ) -> None:
        size = max(0, blocks * store.block_size + extra)
        body = _payload(size)
        store.upload(f"{folder}/x", _cut(body, store.block_size))
        assert [*store.list(folder)] == [Entry(f"{folder}/x", size)]
        pieces = [
            b"".join(store.download(f"{folder}/x", start, min(store.block_size, size - start)))
            for start in range(0, size, store.block_size)
        ]
        assert b"".join(pieces) == body

    def test_upload_replaces_what_is_there(self, store: Store, folder: str) -> None:
        store.upload(f"{folder}/x", [b"old and longer"])
        store.upload(f"{folder}/x", [b"new"])
        assert store.read(f"{folder}/x")[0] == b"new"

    def test_downloads_are_exact(self, store: Store, folder: str) -> None:
        store.upload(f"{folder}/x", [b"0123456789"])
        for start, length in [(0, 10), (0, 1), (9, 1), (3, 4)]:
            assert (
                b"".join(store.download(f"{folder}/x", start, length))
                == b"0123456789"[start : start + length]
            )

    def test_downloading_no_bytes_asks_for_nothing(self, store: Store, folder: str) -> None:
        assert b"".join(store.download(f"{folder}/no/such/object", 7, 0)) == b""

    def test_downloading_nothing_is_not_found(self, store: Store, folder: str) -> None:
        with pytest.raises(NotFoundError):
            b"".join(store.download(f"{folder}/x", 0, 1))

    @pytest.mark.parametrize(("start", "length"), [(0, 11), (9, 2), (10, 1), (100, 1)])
    def test_an_object_that_ends_too_soon_is_damaged(
        self, store: Store, folder: str, start: int, length: int
    ) -> None:
        store.upload(f"{folder}/x", [b"0123456789"])
        with pytest.raises(DamagedError):
            b"".join(store.download(f"{folder}/x", start, length))

    def test_an_empty_object_that_should_not_be_is_damaged(self, store: Store, folder: str) -> None:
        store.upload(f"{folder}/x", [])
        with pytest.raises(DamagedError):
            b"".join(store.download(f"{folder}/x", 0, 1))

    @pytest.mark.parametrize("good", [0, 1, 2, 3])
    @pytest.mark.parametrize("error", [OSError("source is gone"), ValueError("no"), KeyboardInterrupt()])
    def test_blocks_that_raise_leave_nothing_and_their_error_passes_through(
        self, store: Store, folder: str, good: int, error: BaseException
    ) -> None:
        def blocks() -> Iterator[bytes]:
            for _ in range(good):
                yield bytes(store.block_size)
            raise error

        with pytest.raises(type(error)) as caught:
            store.upload(f"{folder}/x", blocks())
        assert caught.value is error
        assert [*store.list(folder)] == []
        with pytest.raises(NotFoundError):
            store.read(f"{folder}/x")

    def test_an_object_is_invisible_until_it_is_whole(self, store: Store, folder: str) -> None:
        seen: list[Entry] = []

        def blocks() -> Iterator[bytes]:
            for _ in range(2):
                yield bytes(store.block_size)
                seen.extend(store.list(folder))

        store.upload(f"{folder}/x", blocks())
        assert seen == []
        assert [*store.list(folder)] == [Entry(f"{folder}/x", 2 * store.block_size)]

    def test_an_upload_holds_few_blocks_in_memory_as_declared(self, store: Store, folder: str) -> None:
        held, most = 0, 0

        class Block(bytes):
            def __del__(self) -> None:
                nonlocal held
                held -= 1

        def blocks() -> Iterator[bytes]:
            nonlocal held, most
            for _ in range(32):
                held += 1
                most = max(most, held)
                yield Block(store.block_size)

        store.upload(f"{folder}/x", blocks())
        gc.collect()
        assert held == 0
        assert (most <= 24) is self.holds_few_blocks

    def test_uploads_from_several_threads_do_not_mix(self, store: Store, folder: str) -> None:
        bodies = {f"{folder}/{n}": bytes([n]) * (store.block_size + n) for n in range(4)}
        with ThreadPoolExecutor(4) as pool:
            list(
                pool.map(lambda item: store.upload(item[0], _cut(item[1], store.block_size)), bodies.items())
            )
        for key, body in bodies.items():
            first = b"".join(store.download(key, 0, store.block_size))
            assert (
                first + b"".join(store.download(key, store.block_size, len(body) - store.block_size)) == body
            )

    # copy

    def test_a_copy_has_the_bytes_and_leaves_the_source(self, store: Store, folder: str) -> None:
        body = _payload(2 * store.block_size + 1)
        store.upload(f"{folder}/x", _cut(body, store.block_size))
        store.copy(f"{folder}/x", f"{folder}/elsewhere/y")
        for key in (f"{folder}/x", f"{folder}/elsewhere/y"):
            assert store.read(key)[0] == body

    def test_a_copy_of_nothing_is_empty(self, store: Store, folder: str) -> None:
        store.upload(f"{folder}/x", [])
        store.copy(f"{folder}/x", f"{folder}/y")
        assert store.read(f"{folder}/y")[0] == b""

    def test_copying_what_is_not_there_is_not_found(self, store: Store, folder: str) -> None:
        with pytest.raises(NotFoundError):
            store.copy(f"{folder}/x", f"{folder}/y")
        assert [*store.list(folder)] == []

    @property
    def _swaps(self) -> bool:
        return self.guarantee is not Guarantee.LAST_WRITER_WINS

    def _names(self, store: Store, folder: str) -> list[str]:
        return [entry.key.removeprefix(f"{folder}/") for entry in store.list(folder)]

    def _refused(self, write: Callable[..., Token], *arguments: object) -> bool:
        try:
            write(*arguments)
        except ConflictError:
            return True
        return False

    def _race(self, write: Callable[..., Token], key: str, *token: Token) -> list[bytes]:
        """The racers write at the same moment, each its own body; the bodies of those that won.

        No body is used twice: if the token depends on the content, a version never comes back.
        """
        start = threading.Barrier(self.racers)

        def run(body: bytes) -> bytes | None:
            start.wait()
            return None if self._refused(write, key, body, *token) else body

        with ThreadPoolExecutor(self.racers) as pool:
            results = pool.map(run, [uuid.uuid4().bytes for _ in range(self.racers)])
            return [body for body in results if body is not None]


@contextmanager
def _watching(look: Callable[[], _T]) -> Iterator[list[_T]]:
    """Call `look` repeatedly in another thread while the block runs, and once after it."""
    seen: list[_T] = []
    stop = threading.Event()

    def watch() -> None:
        while True:
            last = stop.is_set()
            with suppress(NotFoundError):
                seen.append(look())
            if last:
                return

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(watch)
        try:
            yield seen
        finally:
            stop.set()
        watcher.result()


def _payload(size: int) -> bytes:
    """Bytes without two equal blocks."""
    return b"".join(b"%08d" % number for number in range(size // 8 + 1))[:size]


def _cut(body: bytes, block_size: int) -> Iterator[bytes]:
    for start in range(0, len(body), block_size):
        yield body[start : start + block_size]
