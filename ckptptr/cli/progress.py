"""A bar on stderr while bytes move, where somebody sits at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager

from ckptptr.stores.port import Block, Store
from ckptptr.stores.wrappers.around import Around

Moved = Callable[[int], object]


@contextmanager
def bar(what: str, total: int) -> Iterator[Moved]:
    """Gives what is to be told of the bytes that have moved."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.progress import TransferSpeedColumn as SpeedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn(what), BarColumn(), DownloadColumn(binary_units=True), SpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(what, total=total)
        yield lambda count: shown.advance(task, count)


def watched(store: Store, moved: Moved) -> Store:
    """The same store, whose payload requests tell how many bytes have moved."""
    return _Watched(store, moved)


class _Watched(Around):
    def __init__(self, store: Store, moved: Moved) -> None:
        super().__init__(store)
        self._moved = moved

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        for block in self._store.download(key, start, length):
            yield block
            self._moved(len(block))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        def passing() -> Iterator[bytes]:
            for block in blocks:
                yield block
                self._moved(len(block))

        return self._store.upload(key, passing())
