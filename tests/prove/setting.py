"""A world: what is stored when it begins, who acts in it, and what must be true when all is quiet."""

from __future__ import annotations

import copy
import itertools
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ckptptr.errors import CkptptrError
from ckptptr.lifetime import daemon
from ckptptr.protocol.node import Node
from ckptptr.protocol.retention import Retention
from ckptptr.stores.memory import MemoryStore
from tests.helpers import PLAIN, Paused, World, id_of
from tests.histories.witness import Witness
from tests.prove.actors import Actor, Stage
from tests.prove.scheduler import Fault, Scheduler, Task

KEEP = 2
_scratch: list[Path] = []


@contextmanager
def one_thread() -> Iterator[None]:
    """Where worlds are played: in this thread, what would be done by several is done one after the other;
    in a folder that is removed; and nothing is logged."""
    start = daemon.start
    daemon.start = lambda work, done=None, *, beside=False: daemon.done_now(work, done)  # noqa: ARG005
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory(prefix="ckptptr-prove-") as scratch:
            _scratch.append(Path(scratch))
            yield
    finally:
        _scratch.pop()
        daemon.start = start
        logging.disable(logging.NOTSET)


class Prepared(World):
    """A bucket that begins as a copy of another; `prepared` are its checkpoints, the oldest first."""

    def __init__(self, scratch: Path, key: str) -> None:
        super().__init__(scratch, key)
        self.prepared: list[str] = []
        self._nodes: dict[int, Node] = {}

    def node(self, attempt: int, **changes: Any) -> Node:
        if changes:
            return super().node(attempt, **changes)
        if attempt not in self._nodes:
            self._nodes[attempt] = super().node(attempt)
        return self._nodes[attempt]

    def save(self, attempt: int, *tags: str, keep: int = KEEP) -> None:
        """Save whole contents as an attempt, whose sweeps never come."""
        run = self.process(attempt, retention=Retention(keep_last=keep), background=Paused())
        run.restore()
        for tag in tags:
            run.save({"a": tag}, step=int(tag[1:]))
            run.background.waiting.clear()  # type: ignore[attr-defined]

    def again(self) -> Prepared:
        other = copy.copy(self)
        other._scratch = _scratch[-1]
        other.store = MemoryStore()
        other.store._objects = dict(self.store._objects)
        other.store._versions = itertools.count(10_000)
        return other


@dataclass(frozen=True)
class Setting:
    """A world of the list.

    Args:
        prepare: what was done before, one thing after the other.
        act: makes the actors.
        merges: the files that were confirmed last are all in the end, whoever saved them.
        faults: the kinds that are tried, see `Fault`.
        pairs: also one crash and one lost reply together.
        slice: how many schedules of each fault the ordinary suite runs; 0: none.
    """

    name: str
    act: Callable[[Stage], object]
    prepare: Callable[[Prepared], object] = lambda _: None
    layout: str = PLAIN
    merges: bool = False
    faults: Sequence[str] = ("crash", "lost", "refused")
    pairs: bool = False
    slice: int = 2
    _cache: dict[str, Prepared] = field(default_factory=dict)

    def begin(self, faults: Sequence[Fault] = ()) -> Play:
        return Play(self, faults)

    def bucket(self) -> Prepared:
        if "bucket" not in self._cache:
            world = Prepared(_scratch[-1], self.layout)
            self.prepare(world)
            world.prepared = world.committed()
            self._cache["bucket"] = world
        return self._cache["bucket"].again()


class Play:
    """One schedule of a world."""

    def __init__(self, setting: Setting, faults: Sequence[Fault]) -> None:
        self.setting = setting
        world = setting.bucket()
        self.scheduler = Scheduler(world.store, world.node(0).root.base, world.latest_key, faults)
        self.witness = witness_of(world)
        self.stage = Stage(world, self.witness, self.scheduler, world._scratch)
        self.scheduler.saw = self._saw
        setting.act(self.stage)
        for task in [*self.scheduler.tasks]:
            self.scheduler.step(task)

    def _saw(self, op: str, key: str, task: Task) -> None:
        if op == "read":
            task.look = self.witness.states[-1]
            return
        self.witness.acting = task.verb
        if op == "delete" and task.verb == "sweep":
            self.witness.judge_sweep(task.look, key)
        self.witness.saw(op, key)

    @property
    def wrong(self) -> str:
        return self.witness.wrong or self.stage.wrong

    def finish(self) -> str:
        """All is quiet: the next attempts find what they must, and go on."""
        stuck = [task.name for task in self.scheduler.tasks if not task.is_over]
        if stuck:
            return f"{stuck} wait for each other"
        for task in self.scheduler.tasks:
            if task.error is not None:
                return f"{task.name} ended with {task.error!r}"
        self.witness.look_at_the_pinned()
        if wrong := self.witness.wrong or self._superseded():
            return wrong
        return Sequel(self.stage, merges=self.setting.merges).judge()

    def _superseded(self) -> str:
        """The newest attempt is never superseded, if it has one incarnation."""
        newest = max((actor.attempt for actor in self.stage.actors), default=-1)
        those = [actor for actor in self.stage.actors if actor.attempt == newest]
        if len({actor.session.latest.fence.incarnation for actor in those}) == 1:
            for actor in those:
                if actor.is_superseded:
                    return f"section 5.3: {actor.name} is of the newest attempt, and was superseded"
        return ""


def witness_of(world: World) -> Witness:
    """A witness who comes in now."""
    witness = Witness(world, keep=KEEP)
    seen = world.seen()
    witness.states = [seen]
    for reference in world.committed():
        witness.contents[id_of(reference)] = world.content(reference) if world.is_whole(reference) else None
    if seen.pointer is not None:
        witness.named_ever = {target.checkpoint for target in seen.pointer.retained if not target.is_fresh}
        witness.expired_ever = {*seen.expired}
        witness.pinned = {target.checkpoint for target in seen.pointer.retained if target.pinned}
        if not seen.pointer.edited:
            witness.owners = {(seen.pointer.fence, seen.pointer.incarnation)}
    return witness


class Sequel:
    """What the next attempts make of it; it depends on what is stored, and is judged once for each state."""

    _judged: ClassVar[dict[tuple[object, ...], str]] = {}

    def __init__(self, stage: Stage, *, merges: bool) -> None:
        self._stage = stage
        self._merges = merges

    def judge(self) -> str:
        stage = self._stage
        files = self._files()
        known = (stage.world.key, stage.scheduler.state, tuple(files.items()), bool(stage.witness.named_ever))
        if known not in self._judged:
            if len(self._judged) > 200_000:
                self._judged.clear()
            try:
                with tempfile.TemporaryDirectory(dir=stage.folder) as scratch:
                    self._judged[known] = self._restored(files, Path(scratch))
            except CkptptrError as error:
                self._judged[known] = f"goal 1: the next attempt ended with {error!r}"
        return self._judged[known]

    def _files(self) -> dict[str, str]:
        """The files that must be there in the end, as far as the actors were told so."""
        if not self._merges:
            return {}
        return {name: text for *_, texts, _ in self._stage.confirmed for name, text in texts.items()}

    def _restored(self, files: dict[str, str], scratch: Path) -> str:
        world, witness = self._stage.world.again(), witness_of(self._stage.world)
        world._scratch = scratch
        witness.world = world
        witness.contents = self._stage.witness.contents
        witness.excused = {*self._stage.witness.excused}
        attempt = 1 + max((actor.attempt for actor in self._stage.actors), default=0)
        run = world.process(attempt, retention=Retention(keep_last=KEEP))
        content = run.restore()
        found = run.resolution.found
        if found and found.manifest and (source := found.manifest.copied_from):
            witness.contents.setdefault(id_of(found.reference), witness.contents[id_of(source)])
        may_be_fresh = not self._stage.witness.named_ever
        witness.judge_restored(0, run.resolution, content, may_be_fresh=may_be_fresh)
        if witness.wrong:
            return witness.wrong
        begun = self._stage.begun
        if any(
            (content or {}).get(name) not in begun[name][begun[name].index(files[name]) :] for name in files
        ):
            return f"goal 1: {files} was confirmed, and {content} is found"
        run.save_file("more", "afterwards", step=99)
        if run.background.failures:
            return f"section 9: {run.background.failures}"
        again = world.process(attempt + 1).restore()
        if again != {**(content or {}), "more": "afterwards"}:
            return f"goal 1: {again} is found after one more save on {content}"
        world.delete_latest()
        whole = [name for name in world.committed() if world.is_whole(name)]
        last = world.process(attempt + 1).restore()
        if last != world.content(whole[-1]):
            return f"goal 3: {last} is found without LATEST, {whole[-1]} is there"
        return ""


def attempt(stage: Stage, name: str, script: Callable[[Actor], object], **settings: Any) -> None:
    stage.actors.append(Actor(stage, name, script, **settings))
