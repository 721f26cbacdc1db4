"""Payload: upload, download, copy, and what a reader sees of them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.stores.port import Entry, Store
from ckptptr.testing.conformance.declared import Declared, cut, payload_of, watching


class Payload(Declared):
    """The part of the suite about payload."""

    # upload and download

    @pytest.mark.parametrize("extra", [-1, 0, 1])
    @pytest.mark.parametrize("blocks", [0, 1, 3])
    def test_any_size_is_uploaded_and_downloaded(
        self, store: Store, folder: str, blocks: int, extra: int
    ) -> None:
        size = max(0, blocks * store.block_size + extra)
        body = payload_of(size)
        store.upload(f"{folder}/x", cut(body, store.block_size))
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
            list(pool.map(lambda item: store.upload(item[0], cut(item[1], store.block_size)), bodies.items()))
        for key, body in bodies.items():
            first = b"".join(store.download(key, 0, store.block_size))
            assert (
                first + b"".join(store.download(key, store.block_size, len(body) - store.block_size)) == body
            )

    # copy

    def test_a_copy_has_the_bytes_and_leaves_the_source(self, store: Store, folder: str) -> None:
        body = payload_of(2 * store.block_size + 1)
        store.upload(f"{folder}/x", cut(body, store.block_size))
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
            watching(lambda: store.read(f"{folder}/x")[0] in bodies) as uploaded,
            watching(lambda: store.read(f"{folder}/y")[0] in bodies) as copied,
            watching(lambda: {entry.size for entry in store.list(folder)} <= {size}) as listed,
        ):
            for body in bodies * 2:
                store.upload(f"{folder}/x", cut(body, store.block_size))
                store.copy(f"{folder}/x", f"{folder}/y")
        for looks in (uploaded, copied, listed):
            assert looks
            assert all(looks)

    def test_threads_in_folders_of_their_own_do_not_meet(self, store: Store, folder: str) -> None:
        def live(number: int) -> None:
            mine, body = f"{folder}/{number}", bytes([number]) * (store.block_size + 1)
            for _ in range(3):
                token = store.create(f"{mine}/LATEST", b"%d" % number)
                store.upload(f"{mine}/x", cut(body, store.block_size))
                store.copy(f"{mine}/x", f"{mine}/y")
                assert b"".join(store.download(f"{mine}/y", store.block_size, 1)) == body[:1]
                store.replace(f"{mine}/LATEST", b"%d again" % number, token)
                assert store.read(f"{mine}/LATEST")[0] == b"%d again" % number
                assert self._names(store, mine) == ["LATEST", "x", "y"]
                store.delete(f"{mine}/{name}" for name in ("LATEST", "x", "y"))
                assert self._names(store, mine) == []

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(live, range(4)))
