"""What a store under test declares of itself, and what its tests have in common."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import ClassVar, TypeVar

import pytest

from ckptptr.errors import ConflictError, NotFoundError
from ckptptr.stores.port import Guarantee, Store, Token

_T = TypeVar("_T")


class Declared:
    """Subclasses give the fixtures `store` and `folder`, a key prefix that no test has used before."""

    guarantee: ClassVar[Guarantee] = Guarantee.COMPARE_AND_SWAP
    """What the store declares. Without compare-and-swap, racing writers are not tested."""

    refuses_stale_tokens: ClassVar[bool] = True
    """`replace` refuses another version than the given one, at least without a race."""

    equal_bodies_have_equal_tokens: ClassVar[bool] = False
    """The token depends only on the content: writing the same content again does not change it."""

    tokens_are_of_the_body: ClassVar[bool] = True
    """`read` gives body, length and token of one version, also while the object is overwritten."""

    an_object_can_have_objects_below: ClassVar[bool] = True
    """`a` and `a/b` can both exist, as on object stores and not on disks."""

    holds_few_blocks: ClassVar[bool] = True
    """`upload` keeps no more than a dozen blocks in memory, however many there are."""

    listings_tell_times: ClassVar[bool] = True
    """A listing says when each object was written last; `clean` needs it."""

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
def watching(look: Callable[[], _T]) -> Iterator[list[_T]]:
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


def payload_of(size: int) -> bytes:
    """Bytes without two equal blocks."""
    return b"".join(b"%08d" % number for number in range(size // 8 + 1))[:size]


def cut(body: bytes, block_size: int) -> Iterator[bytes]:
    for start in range(0, len(body), block_size):
        yield body[start : start + block_size]
