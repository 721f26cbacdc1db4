"""Requests about small objects: read, create, replace, list, delete."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ckptptr.errors import ConflictError, NotFoundError
from ckptptr.stores.port import Entry, HasStream, Store, Token
from ckptptr.stores.wrappers.around import unwrap
from ckptptr.testing.conformance.declared import Declared, payload_of, watching

_A_DAY = 86400.0  # clocks differ


class Control(Declared):
    """The part of the suite without payload."""

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

    @pytest.mark.parametrize("limit", [1, 100_000, 3 * 1024 * 1024])
    def test_of_a_larger_object_no_more_than_the_limit_is_read(
        self, store: Store, folder: str, limit: int
    ) -> None:
        body = payload_of(3 * 1024 * 1024 + 1)
        token = store.create(f"{folder}/x", body)
        assert store.read(f"{folder}/x", limit) == (body[:limit], token)
        assert store.read(f"{folder}/x", len(body)) == (body, token)

    @pytest.mark.parametrize("limit", [1, 100])
    @pytest.mark.parametrize("body", [b"", b"1"])
    def test_a_limit_above_the_size_changes_nothing(
        self, store: Store, folder: str, body: bytes, limit: int
    ) -> None:
        token = store.create(f"{folder}/x", body)
        assert store.read(f"{folder}/x", limit) == (body, token)

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
        written = {b"0" * 50_000}
        with watching(lambda: store.read(f"{folder}/x")) as seen:
            token = store.create(f"{folder}/x", b"0" * 50_000)
            versions[token] = b"0" * 50_000
            for number in range(1, 20):
                body = b"%d" % (number % 10) + b"%d" % number * 25_000
                written.add(body)
                token = store.replace(f"{folder}/x", body, token)
                versions[token] = body
        assert seen
        if self.tokens_are_of_the_body:
            assert all(versions[token] == body for body, token in seen)
        else:  # the ETag and the length can be those of the version before
            assert all(any(whole.startswith(body) for whole in written) for body, _ in seen)

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

    def test_list_says_when_each_object_was_written_last_as_declared(self, store: Store, folder: str) -> None:
        store.replace(f"{folder}/x", b"2", store.create(f"{folder}/x", b"1"))
        store.upload(f"{folder}/y", [b"1"])
        for entry in store.list(folder):
            said = abs(entry.modified - time.time()) < _A_DAY
            assert said if self.listings_tell_times else entry.modified == 0

    def test_a_stream_has_what_a_listing_has(self, store: Store, folder: str) -> None:
        found = unwrap(store, HasStream)
        if found is None:
            pytest.skip("it lists only as a whole")
        assert [*found.stream(folder)] == []
        for name in ("b/x", "a", "bc"):
            store.create(f"{folder}/{name}", name.encode())
        streamed = sorted(found.stream(folder), key=lambda entry: entry.key)
        listed = [*store.list(folder)]
        assert streamed == listed
        assert [entry.modified for entry in streamed] == [entry.modified for entry in listed]

    def test_folders_are_the_names_of_one_level_that_have_objects_below(
        self, store: Store, folder: str
    ) -> None:
        assert [*store.folders(folder)] == []
        for name in ("b/x", "b/c/y", "b.x", "bc/x", "\uffee é/x", "a/b/c/d"):
            store.create(f"{folder}/{name}", b"1")
        assert [*store.folders(folder)] == ["a", "b", "bc", "\uffee é"]
        assert [*store.folders(f"{folder}/b")] == ["c"]
        assert [*store.folders(f"{folder}/a/b/c")] == []

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
