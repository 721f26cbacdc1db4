"""Faults, and a record of what happens, in a process that only its environment configures."""

from __future__ import annotations

import functools
import json
import os
import signal
from collections.abc import MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ckptptr.settings import TESTING_FAULTS, TESTING_LOG, TESTING_POD
from ckptptr.stores.open import wrap_every_store
from ckptptr.stores.port import Store
from ckptptr.testing import events
from ckptptr.testing.faults import Armed, Fault, FaultyStore, Op

if TYPE_CHECKING:
    from ckptptr.protocol.resolve import Resolution


def install(environ: MutableMapping[str, str]) -> None:
    """Every store that is opened from now on has the faults of `CKPTPTR_TESTING_FAULTS`.

    Its value is a JSON list of the arguments of `Fault`; a kill is a real SIGKILL of the whole pod, a
    term a real SIGTERM of its first process. What happens is appended to the file
    `CKPTPTR_TESTING_LOG`, see `ckptptr.testing.events`.

    The first process of a pod ignores a SIGTERM without a handler, as Linux does for PID 1.
    """
    faults = [Fault(**arguments) for arguments in json.loads(TESTING_FAULTS.read(environ))]
    log = TESTING_LOG.read(environ) or os.devnull
    pod = int(environ.setdefault(TESTING_POD.name, str(os.getpid())))
    if pod == os.getpid():
        _be_deaf_to_sigterm()
    wrap_every_store(lambda store: LoggedStore(store, faults, log, pod))
    _record(log)


class LoggedStore(FaultyStore):
    """A faulty store whose log survives the process."""

    def __init__(self, inner: Store, faults: list[Fault], log: str, pod: int) -> None:
        super().__init__(
            inner,
            faults,
            on_kill=functools.partial(_kill, pod),
            on_term=functools.partial(os.kill, pod, signal.SIGTERM),
        )
        self._log = log
        self._published: set[str] = set()

    def _start(self, op: Op, key: str, body: bytes = b"") -> Armed | None:
        armed = super()._start(op, key, body)
        events.append(self._log, events.Asked(op, key))
        return armed

    def _wrote(self, key: str, body: bytes) -> None:
        with self._lock:
            target = self._saves.published(key, body)
            if target is None or target.checkpoint in self._published:
                return
            self._published.add(target.checkpoint)
        events.append(self._log, events.Saved(target.checkpoint, target.step, target.seq, target.bytes))

    def _strike(self, armed: Armed) -> None:
        events.append(self._log, events.Struck(armed.fault.action))
        super()._strike(armed)


def _kill(pod: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pod, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)  # a worker with its own session


def _be_deaf_to_sigterm() -> None:
    """Ignore SIGTERM by a handler, until the program installs its own. This process was started with SIGTERM
    ignored, and its children would inherit that. They do not keep a handler: exec drops it, and `forget`
    drops it in forks, which are not PID 1."""

    def deaf(*_: object) -> None:
        pass

    def forget() -> None:
        if signal.getsignal(signal.SIGTERM) is deaf:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    signal.signal(signal.SIGTERM, deaf)
    os.register_at_fork(after_in_child=forget)


def _record(log: str) -> None:
    """Record what restores return, and when the task asks for a save."""
    from ckptptr.checkpoints import Checkpoints
    from ckptptr.session.save import Saver

    restore, save = Checkpoints.restore, Saver.save

    @functools.wraps(restore)
    def restore_and_tell(self: Checkpoints, *arguments: Any, **options: Any) -> Any:
        folder = restore(self, *arguments, **options)
        if self.resolution is not None:
            events.append(log, _restored(self.resolution))
        return folder

    @functools.wraps(save)
    def tell_and_save(self: Saver, change: Any, step: int | None, *rest: Any, **options: Any) -> Any:
        events.append(log, events.Began(step))
        return save(self, change, step, *rest, **options)

    setattr(Checkpoints, "restore", restore_and_tell)  # noqa: B010 - mypy knows that it is a method
    setattr(Saver, "save", tell_and_save)  # noqa: B010


def _restored(resolution: Resolution) -> events.Restored:
    verdict, found = resolution.verdict.name.lower(), resolution.found
    if found is None:
        return events.Restored(verdict)
    manifest = found.manifest
    if manifest is None:
        return events.Restored(verdict, found.reference)
    return events.Restored(verdict, found.reference, manifest.step, manifest.attempt, manifest.seq)
