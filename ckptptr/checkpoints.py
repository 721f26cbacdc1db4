"""What a user holds: the checkpoints of one node. What a call does is in `session`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias, overload

from ckptptr.errors import InvalidArgumentError, PreemptedError
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.protocol.inventory import describe
from ckptptr.protocol.manifest import Manifest, check_path, plain_metadata, whole_number
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.resolve import Resolution
from ckptptr.session import naming
from ckptptr.session.batch import Batch
from ckptptr.session.cohort import Cohort
from ckptptr.session.content import Change, Saveable, addition, change_of
from ckptptr.session.parts import DEADLINE as PARTS_DEADLINE
from ckptptr.session.parts import Parts
from ckptptr.session.preemption import DEADLINE, SIGNALS, Preemption
from ckptptr.session.rank import rank_and_size
from ckptptr.session.restore import Restorer
from ckptptr.session.save import Saver
from ckptptr.session.session import Session
from ckptptr.session.turns import Turns
from ckptptr.transfer.folder import Links, patterns
from ckptptr.transfer.reader import Member
from ckptptr.transfer.writer import Stream

_Step: TypeAlias = int | None
_Meta: TypeAlias = Mapping[str, Any] | None
_Ignore: TypeAlias = str | Iterable[str] | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint, as LATEST names it.

    `reference` is what LATEST, `restore(checkpoint=...)` and `ckptptr use` take; `url` is that of its
    manifest. `attempt` saved it; `seq` counts the saves of the node. `bytes` is the size of its payload,
    `published_at` a time in UTC (`2026-01-31T12:00:00Z`), for people.
    """

    reference: str
    url: str
    step: int | None
    attempt: int
    seq: int
    bytes: int
    published_at: str
    pinned: bool

    @classmethod
    def of(cls, target: Target, session: Session) -> Checkpoint:
        url = session.store.url(session.node.root.key(target.checkpoint))
        age = target.step, target.attempt, target.seq
        return cls(target.checkpoint, url, *age, target.bytes, target.published_at, target.pinned)


class Checkpoints:
    """The checkpoints of one node: save, restore, choose.

    One object per process and node. Any thread may call it; saves and restores run one at a time. A `with`
    block closes it at its end.
    """

    def __init__(
        self, session: Session, *, read_only: bool = False, ranks: Callable[[], Cohort] = Cohort
    ) -> None:
        self._session = session
        self._ranks = ranks
        self._read_only = read_only
        self._restorer = Restorer(session, read_only=read_only)
        self._saver = Saver(session)
        self._turns = Turns(session, self._save)
        self._temporary = TemporaryFolders()
        self._resolution: Resolution | None = None
        self._parts: dict[tuple[tuple[int, int], float], Parts[Checkpoint]] = {}

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def attempt(self) -> int:
        """The number of this attempt; once it has saved, those with a lower number cannot any more."""
        return self._session.node.attempt

    @property
    def resolution(self) -> Resolution | None:
        """What the last restore returned, from where, what it rejected and why; None before the first."""
        return self._resolution

    @property
    def latest(self) -> Checkpoint | None:
        """The checkpoint that LATEST names now, read from the store; None if it names none.

        A restore also finds checkpoints that LATEST does not name: `look` says what there is to restore.

        Raises: DamagedError: LATEST cannot be read; StoreUnavailableError.
        """
        target = naming.latest(self._session)
        return Checkpoint.of(target, self._session) if target else None

    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[True] = True,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint: ...
    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: Literal[False],
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Future[Checkpoint]: ...
    @overload
    def save(
        self,
        content: Saveable,
        *,
        step: _Step = None,
        metadata: _Meta = None,
        block: bool,
        consume: bool = False,
        ignore: _Ignore = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]: ...
    def save(
        self,
        content: Saveable,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        block: bool = True,
        consume: bool = False,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> Checkpoint | Future[Checkpoint]:
        """Make a checkpoint and confirm it: when this returns, a later restore finds it.

        A folder, bytes or a reader become the whole content. A file is added to the current content, or
        replaces the file of its name: see `add`.

        With `block=False` this returns a future as soon as the content is safe from changes. Background
        saves run one at a time; those that wait become one checkpoint with the newest content, and the
        result of each is that checkpoint. The next call, or `wait`, raises the error of a background save.
        The end of the process waits for them, for at most `CKPTPTR_EXIT_DEADLINE` seconds (600); but not
        `os._exit`, nor a signal that kills, as SIGTERM does outside `on_preemption`. On a machine that starts
        no more threads the save is made before this returns.

        Args:
            content: the path of a folder or a file, bytes, or a reader in binary mode. Two calls with a
                file each make two checkpoints: a kill between them mixes the files of two steps. `batch`,
                or a folder, makes one.
            step: of the training; for people, `restore(step=)` and retention.
            metadata: a JSON object.
            block: False: save in the background.
            consume: with `block=False`: ckptptr takes the files, and renames them instead of copying them.
            ignore: patterns as in `.gitignore`: what they match in a folder is not saved. Without it:
                `CKPTPTR_IGNORE`.
            links: how to save symbolic links that lead out of the folder, or nowhere. `follow`: the files
                they lead to are saved, and links that lead nowhere are left out with a warning; `skip`: both
                are left out with a warning; `refuse`: an error. Without it: `CKPTPTR_LINKS`.

        A file that grows during the save is saved as long as it was at the beginning. One that changes is
        read again. One that is deleted is left out, with a warning.

        Raises:
            InvalidArgumentError: `content` cannot be saved.
            SupersededError: a newer attempt has taken over; stop.
            StoreUnavailableError, OutcomeUnknownError: this save is not confirmed; earlier ones still are.
            LocalDiskError: this machine's disk is full or refuses; a file changed each time it was read.
            LocalMachineError: this machine starts no more threads, and the store needs one.
        """
        selection = self._session.selection
        return self._change(
            lambda: change_of(content, selection(ignore, links)), step, metadata, block=block, consume=consume
        )

    def add(
        self,
        file: str | os.PathLike[str],
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Checkpoint:
        """Make a checkpoint of the current content and one file, which may replace the file of its name.

        `save(file)` does the same, and `save(file, block=False)` in the background; `add` refuses what
        would replace the whole content. The current content is what this process last saved, else what it
        restored, else nothing.

        Raises: as `save`; InvalidArgumentError: `file` is not the path of one file.
        """
        self._begin_save()
        return self._turns.save(addition(file), _whole(step), plain_metadata(metadata or {}))

    @contextmanager
    def batch(
        self,
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        ignore: str | Iterable[str] | None = None,
        links: Links | None = None,
    ) -> Iterator[Batch]:
        """Several saves as one checkpoint, so that a kill between them leaves no mix of steps.

            with checkpoints.batch(step=100) as batch:
                batch.add("model.pt")
                batch.add("optimizer.pt")

        Nothing is saved if the block raises. `ignore` and `links` are as in `save`.

        Raises: as `save`.
        """
        self._begin_save(waits=False)
        batch = Batch(self._session.selection(ignore, links))
        whole, plain = _whole(step), plain_metadata(metadata or {})
        yield batch
        self._turns.begin()
        self._turns.save(batch.gathered, whole, plain)

    @contextmanager
    def writer(
        self, name: str, *, step: int | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Iterator[Stream]:
        """Write one file straight into the store; it is added to the content, as by `add`.

            with checkpoints.writer("model.pt", step=100) as file:
                torch.save(state, file)

        `name` is its path in the checkpoint. It is uploaded while it is written, without a local copy. The
        checkpoint is confirmed when the block ends. Nothing is saved if the block raises.

        Raises: as `save`. If the upload fails, the next write raises its error.
            LocalMachineError: this machine starts no more threads; nothing was written.
        """
        self._begin_save()
        path, whole, plain = check_path(name), _whole(step), plain_metadata(metadata or {})
        with self._turns.save_while_written(path, whole, plain) as stream:
            yield stream

    def parts(
        self, rank: int | None = None, world_size: int | None = None, *, deadline: float = PARTS_DEADLINE
    ) -> Parts[Checkpoint]:
        """This rank's share of checkpoints that all ranks make together, each of its own files.

            checkpoints.parts().save(f"shard-{rank}", step=100)  # on every rank

        No rank waits for another one before its own files are uploaded. The checkpoint exists when all ranks
        have saved their parts of a step; until then a restore finds the one before.

        Args:
            rank, world_size: which rank, from 0, of how many. Without them: `RANK` and `WORLD_SIZE`, as
                torchrun sets them.
            deadline: how many seconds a save waits for the other ranks.

        Raises:
            InvalidArgumentError: it is unknown which rank this is, or which others belong to it: the ranks
                of an elastic task share a token, and so do those of torchrun.
        """
        self._refuse_read_only()
        which = rank_and_size(rank, world_size)
        if (which, deadline) not in self._parts:
            self._parts[which, deadline] = self._new_parts(*which, deadline)
        return self._parts[which, deadline]

    def _new_parts(self, rank: int, world_size: int, deadline: float, round_: str = "") -> Parts[Checkpoint]:
        return Parts(
            self._session,
            self._saver,
            rank,
            world_size,
            deadline=deadline,
            described=self._described,
            begin=self._begin_save,
            turn=self._turns.save_part,
            round_=round_,
        )

    def restore(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        checkpoint: str | None = None,
        step: int | None = None,
        only: str | Iterable[str] | None = None,
    ) -> Path | None:
        """Put the newest good checkpoint into the folder `path`; every byte is verified first.

        Args:
            path: of a folder, made if it does not exist. Other files in it are kept. Without it: a
                temporary folder, removed when this object is; after a kill, by the next restore into one.
            checkpoint: restore exactly this one (a reference, an id, a URI), and move nothing.
            step: restore exactly the retained checkpoint with this step, and move nothing. If several have
                it, the one that `history` lists first.
            only: restore only the files that these patterns match, as in `.gitignore`: what one rank needs,
                for example. Of the others it is only checked that they are there.

        Returns:
            The folder; None if the store confirmed that no checkpoint exists.

        Raises:
            StoreUnavailableError: something could neither be read nor proven absent.
            LocalDiskError: this machine's disk is full, read-only, or not ours to write.
            UnsupportedFormatError: a newer ckptptr wrote it; upgrade.
            SupersededError: a newer attempt has taken over; stop.
            ConflictError, OutcomeUnknownError: LATEST kept changing, or it is unknown whether it changed.
            NotFoundError: the checkpoint, step or seed asked for does not exist; names the steps that do.
                Or no file matches `only`.
            DamagedError: with `checkpoint` or `step`: it, or LATEST, is damaged.
            InvalidArgumentError: `path` is a file; `checkpoint` and `step` exclude each other.
        """
        destination = Path(path) if path is not None else self._temporary.new()
        self._turns.begin()
        if destination.exists() and not destination.is_dir():
            raise InvalidArgumentError("a checkpoint is restored to a folder", key=str(destination))
        if checkpoint is not None and step is not None:
            raise InvalidArgumentError("give a checkpoint or a step to restore, not both", key=checkpoint)
        wanted = _whole(step)
        lines = [only] if isinstance(only, str) else only
        chosen = None if lines is None else patterns(lines, "only")

        def restore(named: str | None) -> Path | None:
            if named is None:
                self._resolution = self._restorer.restore(destination, chosen)
            else:
                self._resolution = self._restorer.restore_named(destination, named, chosen)
            return destination if self._resolution.found is not None else None

        def in_turn() -> Path | None:
            named = checkpoint if wanted is None else naming.at_step(self._session, wanted)
            if named is not None:
                return restore(named)
            return self._ranks().restore(restore, lambda: self._resolution)

        return self._turns.restore(in_turn)

    def _restore_beside(self, path: Path, step: int) -> Resolution:
        """Restore the retained checkpoint of that step. The current one stays, and so does `resolution`.

        Raises: as `restore` with `step`.
        """
        self._turns.begin()

        def restore() -> Resolution:
            reference = naming.at_step(self._session, step)
            return self._restorer.restore_named(path, reference, becomes_current=False)

        return self._turns.restore(restore)

    def open(self, name: str | None = None) -> BufferedReader:
        """Read one file of the current checkpoint as it is needed, without a restore.

            with checkpoints.open("tokens.bin") as file:
                head = file.read(1024)

        The current checkpoint is what was last saved or restored here, else the newest good one, which
        becomes current as by a restore. `name` is a path in it; it may be left out for the only file.

        Every byte is verified before you get it, also if you jump in the file as `torch.load` and safetensors
        do. Only of files above 8 MiB that an older version saved, the digest is checked when the file was
        read from beginning to end, in order; `file.raw.is_verified` tells.

        Raises: as `restore`.
            NotFoundError: there is no checkpoint, or it has no such file.
            DamagedError: while reading: the bytes are not what was saved.
        """
        self._turns.begin()
        with self._session.lock:
            if not self._session.content.reference:
                self._resolution = self._restorer.attach()
            home, record = self._session.content.file(name)
        return BufferedReader(Member(self._session.store, f"{home}/{record.object}", record))

    def look(self) -> Resolution:
        """What a restore would return now. Nothing is fetched or moved.

        It is judged by manifests and listings: only a restore finds a wrong digest.

        Raises: as `restore`.
        """
        return self._restorer.look()

    def history(self) -> list[Checkpoint]:
        """The retained checkpoints: the one that LATEST names first, then newest publish first."""
        pointer = self._session.latest.read().pointer
        return [Checkpoint.of(target, self._session) for target in pointer.retained] if pointer else []

    def pin(self, checkpoint: str, *, note: str = "") -> None:
        """Keep a checkpoint (a reference, an id, a URI), whatever retention says.

        Raises: NotFoundError; InvalidArgumentError: it cannot be pinned; SupersededError: a newer attempt has
            taken over; else as `restore`.
        """
        self._refuse_read_only()
        naming.pin(self._session, checkpoint, note)

    def unpin(self, checkpoint: str) -> None:
        """Let retention decide about a checkpoint again.

        Raises: as `pin`.
        """
        self._refuse_read_only()
        naming.unpin(self._session, checkpoint)

    def on_preemption(
        self,
        save: Callable[[], object] | None = None,
        *,
        deadline: float = DEADLINE,
        signals: Iterable[int] = SIGNALS,
        interrupt: bool = True,
        raises: type[PreemptedError] = PreemptedError,
    ) -> Preemption:
        """A `with` block that SIGTERM ends after one last save, within a deadline.

            with checkpoints.on_preemption(lambda: checkpoints.save("model/", step=step)):
                for step in range(start, steps):
                    train_one_step()

        The signal raises `PreemptedError` in the main thread, wherever that is, even in the middle of a
        step. A blocking save that is running is finished, and is the last one; else the end of the block
        calls `save`. Then the block raises `PreemptedError`, and the process should end. What has not
        finished by the deadline is abandoned. `ckptptr.Preemption` says more.

        Args:
            save: runs in another thread, with the context variables of this one.
            deadline: seconds from the signal. Kubernetes grants 30 in all by default.
            signals: numbers of the signals to handle.
            interrupt: False: the signal raises only at the next save, or at `check()` of what the block is
                entered as, so that `save` never meets a half updated model.
            raises: the class of the error.

        Raises: PreemptedError: the signal came.
            InvalidArgumentError: not in the main thread; an impossible deadline or signal; a second block.
        """
        return self._preemption(save, deadline=deadline, signals=signals, interrupt=interrupt, raises=raises)

    def wait(self) -> None:
        """Wait for background saves, background sweeps and forward copies.

        Raises: the error of a background save.
            PreemptedError: one of `parts` was not done by the deadline of `on_preemption`.
        """
        self._finish()
        self._session.background.wait()

    def close(self) -> None:
        """Wait, then end the threads and remove temporary folders. The end of a `with` block calls it.

        Raises: as `wait`.
        """
        try:
            self._finish()
        finally:
            self._session.background.close()
        self._temporary.remove()

    def _change(
        self, change: Callable[[], Change], step: _Step, metadata: _Meta, *, block: bool, consume: bool
    ) -> Checkpoint | Future[Checkpoint]:
        """Make the checkpoint that a change of the content gives: see `save`."""
        if block and consume:
            raise InvalidArgumentError("consume=True is for background saves only", hint="Add block=False")
        self._begin_save(waits=block)
        whole, plain = _whole(step), plain_metadata(metadata or {})
        if block:
            return self._turns.save(change(), whole, plain)
        return self._turns.save_in_background(change(), whole, plain, consume=consume)

    def _preemption(self, save: Callable[[], object] | None, **more: Any) -> Preemption:
        wait = self._turns.wait_for_background
        return self._turns.under(Preemption(self._session, save, wait=wait, **more))

    def _save(self, change: Change, step: int | None, metadata: dict[str, Any]) -> Checkpoint:
        return self._described(self._saver.save(change, step, metadata).manifest)

    def _described(self, manifest: Manifest) -> Checkpoint:
        node = self._session.node
        return Checkpoint.of(describe(node.root, node.home, manifest), self._session)

    def _finish(self) -> None:
        failures: list[Exception] = []
        for finish in (self._turns.finish, *(parts.finish for parts in self._parts.values())):
            try:
                finish()
            except PreemptedError:  # what interrupts must not wait for others
                raise
            except Exception as error:  # noqa: BLE001 - raised below
                failures.append(error)
        if failures:
            raise failures[0]

    def _begin_save(self, *, waits: bool = True) -> None:
        self._refuse_read_only()
        self._turns.begin(waits=waits)

    def _refuse_read_only(self) -> None:
        if self._read_only:
            raise InvalidArgumentError("this was opened read-only", key=self._session.latest.url)


def _whole(step: int | None) -> int | None:
    return None if step is None else whole_number(step, "step")
