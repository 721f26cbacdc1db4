"""Who acts in a world: processes of attempts, and people. All is the real code, but for time and chance.

What an actor does is in a script: a function that is given the actor. It runs up to its first request when
the world begins.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ckptptr.errors import (
    CkptptrError,
    ConflictError,
    DamagedError,
    IncompleteError,
    InvalidArgumentError,
    NotFoundError,
    OutcomeUnknownError,
    StoreUnavailableError,
    SupersededError,
)
from ckptptr.lifetime.background import Background
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.publish import Standing
from ckptptr.protocol.retention import Retention
from ckptptr.protocol.sweep import search, sweep_by_hand
from ckptptr.session.content import Change
from ckptptr.session.parts import Parts
from ckptptr.session.restore import Restorer
from ckptptr.session.save import Saver
from ckptptr.session.session import Session
from ckptptr.transfer.plan import Local
from tests.helpers import World, id_of, read_folder
from tests.histories.witness import Witness
from tests.prove.scheduler import Lock, Paced, Scheduler

PATIENCE = 0.2
"""How many seconds a rank waits for the parts of the others: a few looks."""


class OwnClock:
    """The time and the tokens of one process: what others do in between does not change them."""

    def __init__(self, name: str) -> None:
        self._name = name.lower()
        self._slept = 0.0
        self._tokens = itertools.count(1)

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 15, 20, 5, tzinfo=timezone.utc) + timedelta(seconds=self._slept)

    def sleep(self, seconds: float) -> None:
        self._slept += seconds

    def token(self, length: int) -> str:
        return f"{self._name}{next(self._tokens):0{length - len(self._name)}d}"

    def jitter(self) -> float:
        return 0.5


class Stage:
    """What the actors of one schedule share.

    Attributes:
        begun: by file, what was saved as it, in the order in which that began.
        confirmed: what each save, of which its caller was told that it is confirmed, has made: the actor,
            the id, the files that were saved, and whether they are the whole content.
        wrong: the first rule that an actor saw broken.
    """

    def __init__(self, world: World, witness: Witness, scheduler: Scheduler, folder: Path) -> None:
        self.world = world
        self.witness = witness
        self.scheduler = scheduler
        self.folder = folder
        self.store = Paced(scheduler)
        self.begun: dict[str, list[str]] = {}
        self.confirmed: list[tuple[Actor, str, dict[str, str], bool]] = []
        self.actors: list[Actor] = []
        self.wrong = ""

    def note(self, rule: str, problem: str) -> None:
        self.wrong = self.wrong or f"{rule}: {problem}"


class Beside(Background):
    """Background work of an actor: at once (`now`), never, or as a task of its own (`beside`)."""

    def __init__(self, actor: Actor, how: str) -> None:
        super().__init__()
        self._actor = actor
        self._how = how

    def run(self, name: str, work: Callable[[], None]) -> None:  # type: ignore[override]
        def do() -> None:
            with suppress(CkptptrError):
                work()

        if self._how == "beside":
            self._actor.spawn(_VERBS[name], do)
        elif self._how == "now":
            with self._actor.doing(_VERBS[name]):
                do()


_VERBS = {"sweep": "sweep", "orphan-search": "sweep", "forward-copy": "forward copy"}


class Actor:
    """A process of an attempt.

    Args:
        incarnation: empty where it is unknown.
        background: see `Beside`.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        script: Callable[[Any], object],
        *,
        attempt: int = 0,
        incarnation: str = "",
        background: str = "never",
    ) -> None:
        self.stage = stage
        self.name = name
        self.attempt = attempt
        self.is_superseded = False
        clock = OwnClock(name)
        self._clock = clock
        self.session = Session(
            stage.store,  # type: ignore[arg-type]
            stage.world.node(attempt),
            retention=Retention(keep_last=stage.witness.keep),
            clock=clock,
            background=Beside(self, background),
            incarnation=incarnation,
        )
        self.session.author = self.session.latest.author = f"host/{name}/1"
        self.session.lock = Lock(stage.scheduler)  # type: ignore[assignment]
        self.saver = Saver(self.session)
        self.restorer = Restorer(self.session)
        self._task = self.spawn("", lambda: self._play(script))

    def spawn(self, verb: str, work: Callable[[], object]) -> Any:
        return self.stage.scheduler.spawn(self.name, verb, work)

    def doing(self, verb: str) -> _Doing:
        return _Doing(self.stage.scheduler, verb)

    def _play(self, script: Callable[[Any], object]) -> None:
        try:
            script(self)
        except SupersededError:
            self.is_superseded = True
        except (StoreUnavailableError, OutcomeUnknownError):
            if not self.stage.scheduler.process(self.name).struck:
                raise

    # What it can do

    def save(self, tag: str) -> None:
        """The whole content."""
        self._save({"a": tag}, replaces=True)

    def save_two(self, tag: str) -> None:
        """The whole content: two files that belong together."""
        self._save({"a": tag, "b": tag}, replaces=True)

    def add(self, name: str, tag: str) -> None:
        """One file beside the others."""
        self._save({name: tag}, replaces=False)

    def _save(self, texts: dict[str, str], *, replaces: bool) -> None:
        for name, text in texts.items():
            self.stage.begun.setdefault(name, []).append(text)
        with self.doing("save"):
            published = self.saver.save(_change(texts, replaces=replaces), _step(texts), {})
        self._confirmed(published.manifest, published.standing, texts, replaces=replaces)

    def _confirmed(
        self, manifest: Manifest, standing: Standing, texts: dict[str, str], *, replaces: bool
    ) -> None:
        reference, witness = self.session.publisher.found(manifest).reference, self.stage.witness
        if standing is Standing.PASSED:
            return
        if standing is not Standing.HELD and reference not in witness.named_ever:
            self.stage.note(
                "goal 1", f"{self.name} was told that {reference} is confirmed; it was never named"
            )
        if standing is Standing.HELD and not witness.was_held_since_its_commit(reference):
            self.stage.note("section 5.5.1", f"{self.name} was told that LATEST is held, and it was not")
        self.stage.confirmed.append((self, id_of(reference), texts, replaces))

    def restore(self) -> dict[str, str] | None:
        """Restore, and judge what came back."""
        folder = self.stage.folder / self.name
        shutil.rmtree(folder, ignore_errors=True)
        witness = self.stage.witness
        first = len(witness.states) - 1
        may_be_fresh = not self._confirmed_before()
        with self.doing("restore"):
            resolution = self.restorer.restore(folder)
        content = read_folder(folder) if resolution.found else None
        witness.judge_restored(first, resolution, content, may_be_fresh=may_be_fresh)
        return content

    def _confirmed_before(self) -> bool:
        before = (actor.attempt for actor, *_ in self.stage.confirmed)
        return any(attempt <= self.attempt for attempt in before) or bool(self.stage.witness.named_ever)

    def part(self, rank: int, of: int, tag: str) -> None:
        """This rank's share of a checkpoint."""
        texts = {f"rank{rank}": tag}
        parts: Parts[Manifest] = Parts(
            self.session,
            self.saver,
            rank,
            of,
            deadline=PATIENCE,
            described=lambda manifest: manifest,
            begin=lambda: None,
            turn=lambda work: work(),
        )
        standings = [Standing.TARGET]  # where LATEST told that another rank has published
        self.saver.tell = lambda published, *_, **__: standings.append(published.standing)  # type: ignore[method-assign]
        with self.doing("save"), suppress(IncompleteError):
            manifest = parts._whole(_change(texts, replaces=True), _step(texts), {})
            if manifest.files:
                whole = {record.path: tag for record in manifest.files}
                if whole.keys() != {f"rank{n}" for n in range(of)}:
                    self.stage.note("goal 2", f"{manifest.id} was confirmed with the parts {sorted(whole)}")
                self._confirmed(manifest, standings[-1], texts, replaces=False)


class _Doing:
    """What the task that is running does meanwhile."""

    def __init__(self, scheduler: Scheduler, verb: str) -> None:
        self._task, self._verb = scheduler.current, verb

    def __enter__(self) -> None:
        assert self._task is not None
        self._task.verb, self._verb = self._verb, self._task.verb

    def __exit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.verb, self._verb = self._verb, self._task.verb


class Person:
    """Somebody with the command line and a text editor."""

    def __init__(self, stage: Stage, name: str, script: Callable[[Any], object]) -> None:
        self.stage = stage
        self.name = name
        world, clock = stage.world, OwnClock(name)
        self._node = replace(world.node(0), attempt=9)
        store: Any = stage.store
        self._latest = Latest(store, world.key, clock, f"host/{name}/1")
        self._chooser = Chooser(store, self._node, self._latest, clock)
        stage.scheduler.spawn(name, "", lambda: self._play(script))

    def _play(self, script: Callable[[Any], object]) -> None:
        try:
            script(self)
        except (StoreUnavailableError, OutcomeUnknownError):
            if not self.stage.scheduler.process(self.name).struck:
                raise

    def use(self, nth: int) -> None:
        """Choose the nth checkpoint that was saved before the world began."""
        reference, states = self.stage.world.prepared[nth], self.stage.witness.states
        first = len(states)
        with self._doing("use"):
            is_done = self._is_told(lambda: self._chooser.use(reference))
        held = {seen.pointer.target.checkpoint for seen in states[first:] if seen.pointer and seen.is_held}
        if is_done and reference not in held:
            self.stage.note(
                "section 10", f"{self.name} was told that {reference} is chosen, and it never was"
            )

    def pin(self, nth: int) -> None:
        reference, witness = self.stage.world.prepared[nth], self.stage.witness
        with self._doing("pin"):
            was_held = witness.states[-1].is_held
            if self._is_told(lambda: self._chooser.pin(reference)) and not was_held:
                witness.pinned.add(reference)

    def unpin(self, nth: int) -> None:
        reference = self.stage.world.prepared[nth]
        self.stage.witness.pinned.discard(reference)
        with self._doing("unpin"):
            self._is_told(lambda: self._chooser.unpin(reference))

    def release(self) -> None:
        with self._doing("release"):
            self._is_told(self._chooser.release)

    def drop(self, nth: int) -> None:
        reference = self.stage.world.prepared[nth]
        with self._doing("drop"):
            self._is_told(lambda: self._chooser.drop([self._chooser.droppable(reference)]))

    def rollback(self) -> None:
        with self._doing("rollback"):
            self._is_told(self._chooser.rollback)

    def sweep(self) -> None:
        """By hand: what has expired, and the orphans."""

        def do() -> None:
            store: Any = self.stage.store
            seen = self._latest.read()
            agreed = [*seen.expired, *search(store, self._node, seen).orphans]
            sweep_by_hand(store, self._node, self._latest, agreed)

        with self._doing("sweep"):
            self._is_told(do)

    def edit(self, nth: int) -> None:
        """Open LATEST in an editor, name another checkpoint in it, and write it back."""
        store, world = self.stage.store, self.stage.world
        reference = world.prepared[nth]
        with self._doing("edit"):
            document = json.loads(store.read(world.latest_key)[0])
            body = json.dumps({**document, "checkpoint": reference}, indent=2).encode()
            store.upload(world.latest_key, [body])

    def write(self, nth: int) -> None:
        """Replace all of LATEST by one line."""
        reference = self.stage.world.prepared[nth]
        with self._doing("edit"):
            self.stage.store.upload(self.stage.world.latest_key, [reference.encode()])

    def _doing(self, verb: str) -> _Doing:
        return _Doing(self.stage.scheduler, verb)

    def _is_told(self, act: Callable[[], object]) -> bool:
        """Whether it was done; a refusal is an answer, too."""
        try:
            act()
        except (InvalidArgumentError, NotFoundError, DamagedError, ConflictError):
            return False
        return True


def _step(texts: dict[str, str]) -> int:
    return int("".join(filter(str.isdigit, "".join(texts.values()))) or 0)


def _change(texts: dict[str, str], *, replaces: bool) -> Change:
    files = {name: Local(name, text.encode(), len(text)) for name, text in texts.items()}
    return Change(files, replaces=replaces)
