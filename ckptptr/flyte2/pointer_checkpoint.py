"""The drop-in: Flyte 2's `Checkpoint`, with `ckptptr.Checkpoints` behind it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import pathlib
import shutil
import tarfile
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, overload

from flyte import Checkpoint as FlyteCheckpoint

from ckptptr.checkpoints import Checkpoint
from ckptptr.dropin.delegate import Delegate
from ckptptr.errors import DamagedError, PreemptedError
from ckptptr.flyte2.errors import final
from ckptptr.flyte2.place import LocalPlace, Place
from ckptptr.lifetime import daemon
from ckptptr.lifetime.main_thread import InMain, by_loop
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.protocol.names import BYTES_NAME
from ckptptr.session.content import replacement
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.transfer.folder import Links

_Step: TypeAlias = int | None
_Meta: TypeAlias = Mapping[str, Any] | None
_Ignore: TypeAlias = str | Iterable[str] | None
_Data: TypeAlias = pathlib.Path | str | bytes

PAYLOAD = "payload"
"""What bytes and single files are restored as, as in the stock SDK."""


class PointerCheckpoint(Delegate, FlyteCheckpoint):  # type: ignore[misc]
    """What `flyte.ctx().checkpoint` is in a task: `ckptptr.Checkpoints` in the manners of Flyte 2.

    `load`, `save`, `load_sync`, `save_sync`, `path` and `prev_exists` do what stock tasks expect: each save
    replaces the whole content, and bytes or a single file come back as `path / "payload"`. Every other
    method is that of `ckptptr.Checkpoints`; they wait, so an async task calls them by `asyncio.to_thread`.
    An error that no other attempt can cure is also Flyte's `NonRecoverableError`.

    It can be pickled: the other process opens the checkpoints for itself.

    Args:
        in_main: does what only the main thread may do, as this process knows it.
    """

    def __init__(self, place: Place | LocalPlace, in_main: InMain | None = None) -> None:
        # Not the stock one's: it makes a temporary folder, which cannot be pickled.
        super().__init__(place.open)
        self.place = place
        self.in_main = in_main
        self._checkpoint_dest, self._checkpoint_src = place.home, place.previous
        self._workspace = _Workspace()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.place, self._retention)

    def __del__(self) -> None:
        """Nothing: the workspace goes by itself."""

    def close(self) -> None:
        """Wait, then end the threads and remove the temporary folders of this process."""
        opened = self._here.checkpoints
        try:
            if opened is not None:
                opened.close()
        finally:
            self._workspace.close()

    def _manners(self) -> AbstractContextManager[None]:
        return final()

    @property
    def path(self) -> pathlib.Path:
        """A folder of this process, for files to save and for what was loaded."""
        return self._workspace.path

    async def load(self) -> pathlib.Path | None:
        """As `load_sync`, without blocking the event loop."""
        return await daemon.aside(self.load_sync)

    def load_sync(self) -> pathlib.Path | None:
        """The newest good checkpoint, in `path`; None if the store confirmed that there is none.

        A second call returns the same, as in the stock SDK.

        Returns:
            `path / "payload"` for bytes and single files, else `path`.

        Raises: as `ckptptr.Checkpoints.restore`.
        """
        here = self._here
        with here.lock, self._manners():
            if self._workspace.loaded is None:
                folder = self.restore()
                if folder is None:
                    return None
                self._workspace.fill(folder)
                here.restored = self.path
            return self._workspace.loaded

    @overload
    async def save(
        self,
        data: _Data,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[True] = True,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint: ...
    @overload
    async def save(
        self,
        data: _Data,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: bool,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]: ...
    async def save(self, data: _Data, **options: Any) -> Checkpoint | Future[Checkpoint]:
        """As `save_sync`, without blocking the event loop."""
        return await daemon.aside(lambda: self.save_sync(data, **options))

    @overload
    def save_sync(
        self,
        data: _Data,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[True] = True,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint: ...
    @overload
    def save_sync(
        self,
        data: _Data,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: bool,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]: ...
    def save_sync(
        self,
        data: _Data,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]:
        """Save a folder, a file or bytes as the whole content: see `ckptptr.Checkpoints.save`.

        With `block=False` the result is a future; `asyncio.wrap_future` lets an async task await it.

        Raises: as `ckptptr.Checkpoints.save`.
            FileNotFoundError: as in the stock SDK: there is no such file or folder.
        """
        if not isinstance(data, bytes) and not pathlib.Path(data).exists():
            raise FileNotFoundError(f"Checkpoint source path does not exist: {data}")
        with self._manners():
            checkpoints = self.checkpoints
            selection = checkpoints._session.selection
            return checkpoints._change(
                lambda: replacement(data, selection(ignore, links)),
                step,
                metadata,
                block=block,
                consume=consume,
            )

    def on_preemption(
        self,
        save: Callable[[], object] | None = None,
        *,
        deadline: float = DEADLINE,
        signals: Iterable[int] = SIGNALS,
        interrupt: bool = True,
    ) -> Preemption:
        """See `ckptptr.Checkpoints.on_preemption`.

            async with checkpoint().on_preemption(lambda: checkpoint().save("model/", step=step)) as block:
                for step in range(start, steps):
                    await train_one_step()
                    block.check()

        In a sync task write `with`. A task of Flyte 2 runs in an event loop, or beside it in another thread:
        so the signal raises only at the next save, at `check()`, or at the end of the block. Only in the main
        thread of a worker, where no event loop runs, does `interrupt` count. `save` may also return an
        awaitable; it runs in another thread.

        Raises: as `ckptptr.Checkpoints.on_preemption`.
        """
        with self._manners():
            return self.checkpoints._preemption(
                None if save is None else functools.partial(_done, save),
                deadline=deadline,
                signals=signals,
                interrupt=interrupt,
                raises=PreemptedError,
                in_main=self._from_here(),
            )

    def _from_here(self) -> InMain | None:
        """How to do what only the main thread may do; None: this is the main thread, and nothing else."""
        if threading.current_thread() is not threading.main_thread():
            return self.in_main
        try:
            return by_loop(asyncio.get_running_loop())
        except RuntimeError:
            return None


def _done(save: Callable[[], object]) -> object:
    """The last save, whether it is async or not."""
    result = save()
    return asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result


async def _awaited(result: Awaitable[object]) -> object:
    return await result


class _Workspace:
    """The folder of one checkpoint object in each process that has it.

    Attributes:
        loaded: what `load` returned in this process; None before.
    """

    def __init__(self) -> None:
        self._folders = TemporaryFolders()
        self._of: dict[int, pathlib.Path] = {}
        self._loaded: dict[int, pathlib.Path] = {}

    @property
    def path(self) -> pathlib.Path:
        here = os.getpid()
        if here not in self._of:
            self._of[here] = self._folders.new()
        self._of[here].mkdir(parents=True, exist_ok=True)
        return self._of[here]

    @property
    def loaded(self) -> pathlib.Path | None:
        return self._loaded.get(os.getpid())

    def close(self) -> None:
        self._folders.remove()

    def fill(self, restored: pathlib.Path) -> None:
        """Move a restored checkpoint here, in place of what is here, as the stock SDK lays it out.

        Raises:
            DamagedError: it is a tar archive that cannot be unpacked.
        """
        path = self.path
        for old in path.iterdir():
            if old.is_dir() and not old.is_symlink():
                shutil.rmtree(old)
            else:
                old.unlink()
        names = [child.name for child in restored.iterdir()]
        for name in names:
            (restored / name).rename(path / name)
        loaded = path
        blob = path / BYTES_NAME
        if names == [BYTES_NAME] and blob.is_file():
            loaded = path if _unpacked(blob) else blob.rename(path / PAYLOAD)
        self._loaded[os.getpid()] = loaded


def _unpacked(blob: pathlib.Path) -> bool:
    """Whether it was a tar archive, as the stock SDK saves folders; its content is then in its place."""
    if not tarfile.is_tarfile(blob):
        return False
    archive = blob.rename(blob.with_name(f"{blob.name}.tar"))
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(archive.parent, filter="tar")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DamagedError(f"the archive cannot be unpacked ({error})", key=str(archive)) from error
    archive.unlink()
    return True


def _rebuild(place: Place | LocalPlace, retention: Any) -> PointerCheckpoint:
    made = PointerCheckpoint(place)
    made._retention = retention
    return made
