"""One schedule: processes that send one request at a time, in the order that they are told.

Each process is a greenlet, or several: its background work runs beside it. A greenlet stops before each
request, and says what that request reads and writes. What it does between two requests nobody else sees.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from ckptptr.errors import DamagedError, StoreUnavailableError
from ckptptr.protocol.names import MANIFESTS
from ckptptr.protocol.pointer import Pointer
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Block, Entry, Guarantee, Token, folders_of
from ckptptr.testing.faults import Killed


class Touch(NamedTuple):
    """What a request reads, writes and deletes: keys; and the folders that it lists."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()

    def meets(self, other: Touch) -> bool:
        """Whether their order may matter."""
        return self._disturbs(other) or other._disturbs(self)

    def _disturbs(self, other: Touch) -> bool:
        """Two deletions of one object do not: it is gone, whichever was first."""
        return any(
            key in other.reads
            or key in other.writes
            or (key in other.deletes and key in self.writes)
            or any(key.startswith(f"{top}/") for top in other.lists)
            for key in (*self.writes, *self.deletes)
        )


class Fault(NamedTuple):
    """What goes wrong in a schedule, at the nth write of a process.

    `crash`: the store does it, and the process is dead. `lost`: the store does it, and the reply is an error.
    `refused`: the store does not do it. A crash between two writes shows as little as one after the first of
    them, and a read whose reply is lost is sent again: so it is the writes that count.
    """

    process: str
    kind: str
    nth: int

    def __str__(self) -> str:
        return f"{self.process} {self.kind} {self.nth}"


class Process:
    """What lives and dies together."""

    def __init__(self, name: str, faults: Iterable[Fault]) -> None:
        self.name = name
        self.tasks: list[Task] = []
        self.is_dead = False
        self.writes = 0
        self.struck = 0
        self.answers = 0
        """A hash of all that the store has answered."""
        self._faults = {fault.nth: fault.kind for fault in faults if fault.process == name}

    def next_write(self) -> str:
        self.writes += 1
        kind = self._faults.get(self.writes, "")
        self.struck += bool(kind)
        return kind


class Task:
    """One line of work of a process. `request` is what it does when it goes on, `touch` what that touches."""

    def __init__(self, process: Process, name: str, verb: str, work: Callable[[], object]) -> None:
        self.process = process
        self.name = name
        self.verb = verb
        self.work = work
        self.is_over = False
        self.request = ("start", "")
        self.touch = Touch()
        self.waits_for: Lock | None = None
        self.error: BaseException | None = None
        self.look: object = None
        self.greenlet = greenlet(self._run)

    @property
    def is_ready(self) -> bool:
        return not (self.is_over or (self.waits_for and self.waits_for.owner))

    def _run(self) -> None:
        try:
            self.work()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - judged at the end
            self.error = error
        self.is_over = True


class Scheduler:
    """Runs tasks step by step.

    Attributes:
        saw: is told of each write that was done, and each look at LATEST: the operation, the key, the task.
        bodies: a hash of what stands under each key; `state` is one of all of them.
    """

    def __init__(self, store: MemoryStore, root: str, latest_key: str, faults: Sequence[Fault] = ()) -> None:
        self.store = store
        self.root = root
        self.latest_key = latest_key
        self.saw: Callable[[str, str, Task], None] = lambda *_: None
        self.processes: dict[str, Process] = {}
        self.tasks: list[Task] = []
        self.current: Task | None = None
        self.steps = 0
        self.bodies: dict[str, int] = {}
        self.state = 0
        self._faults = faults
        for entry in store.list("bucket"):
            self.note_body(entry.key)

    def process(self, name: str) -> Process:
        return self.processes.setdefault(name, Process(name, self._faults))

    def spawn(self, process: str, verb: str, work: Callable[[], object]) -> Task:
        owner = self.process(process)
        name = owner.name + ("" if not owner.tasks else str(len(owner.tasks)))
        task = Task(owner, name, verb, work)
        owner.tasks.append(task)
        self.tasks.append(task)
        return task

    def step(self, task: Task) -> None:
        """Let it do its request, and all up to the next one."""
        self.current = task
        self.steps += 1
        task.greenlet.parent = getcurrent()
        task.greenlet.switch()
        self.current = None
        if task.process.is_dead:
            self.end(task.process)

    def end(self, process: Process) -> None:
        """It sends no request any more."""
        process.is_dead = True
        for task in process.tasks:
            if not task.is_over:
                task.is_over = True
                if task.greenlet:  # it has begun
                    task.greenlet.parent = getcurrent()
                    task.greenlet.throw(Killed)

    def ready(self) -> list[Task]:
        return [task for task in self.tasks if task.is_ready]

    def snapshot(self) -> int:
        """A hash of what is stored and of what each process has been told."""
        told = tuple((name, process.answers, process.is_dead) for name, process in self.processes.items())
        return hash((self.state, told))

    # Called by the tasks

    def pause(self, request: tuple[str, str], touch: Touch) -> Task:
        task = self.current
        assert task is not None
        if task.process.is_dead:
            raise Killed
        task.request, task.touch = request, touch
        task.greenlet.parent.switch()
        if task.process.is_dead:
            raise Killed
        return task

    def note_body(self, key: str) -> None:
        self.state ^= self.bodies.pop(key, 0)
        there = self.store._objects.get(key)
        if there is not None:
            self.bodies[key] = hash((key, there[0]))
            self.state ^= self.bodies[key]


class Lock:
    """Of a process whose tasks take turns: as `threading.RLock`, for greenlets."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self.owner: Task | None = None
        self._depth = 0

    def acquire(self, timeout: float = -1) -> bool:  # noqa: ARG002 - time stands still
        task = self._scheduler.current
        if self.owner not in (None, task):
            assert task is not None
            task.waits_for = self
            try:
                self._scheduler.pause(("lock", ""), Touch())
            finally:
                task.waits_for = None
        self.owner = task
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            self.owner = None

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class Paced:
    """The store of all processes: each request waits until its process is told to go on.

    A deletion of several objects is a request for each: no store does them at once.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._inner = scheduler.store
        self.guarantee: Guarantee = self._inner.guarantee
        self.block_size = self._inner.block_size

    def url(self, key: str) -> str:
        return self._inner.url(key)

    def read(self, key: str, limit: int | None = None) -> tuple[bytes, Token]:
        return self._look("read", key, Touch(reads=(key,)), lambda: self._inner.read(key, limit))

    def list(self, folder: str) -> Iterator[Entry]:
        return iter(self._look("list", folder, Touch(lists=(folder,)), lambda: [*self._inner.list(folder)]))

    def folders(self, folder: str) -> Sequence[str]:
        def look() -> Sequence[str]:
            return folders_of(self._inner.list(folder), folder)

        return self._look("folders", folder, Touch(lists=(folder,)), look)

    def download(self, key: str, start: int, length: int) -> Generator[Block, None, None]:
        def look() -> list[Block]:
            return [*self._inner.download(key, start, length)]

        yield from self._look("download", key, Touch(reads=(key,)), look)

    def create(self, key: str, body: bytes) -> Token:
        is_commit = f"/{MANIFESTS}/" in key and key.endswith(".json")
        touch = Touch(reads=self._objects(key, body) if is_commit else (), writes=(key,))
        if key == self._scheduler.latest_key:
            touch = self._moving(body)
        return self._write("create", key, touch, lambda: self._inner.create(key, body))

    def replace(self, key: str, body: bytes, token: Token) -> Token:
        return self._write("replace", key, self._moving(body), lambda: self._inner.replace(key, body, token))

    def delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            touch = Touch(deletes=(key, f"{NAMED}{key}"))
            self._write("delete", key, touch, lambda key=key: self._inner.delete([key]))

    def upload(self, key: str, blocks: Iterable[bytes]) -> bool:
        body = [*blocks]
        # What an editor overwrites is not known before.
        touch = Touch(writes=(key,), lists=(NAMED[:-1],) if key == self._scheduler.latest_key else ())
        return self._write("upload", key, touch, lambda: self._inner.upload(key, body))

    def copy(self, source: str, key: str) -> None:
        touch = Touch(reads=(source,), writes=(key,))
        self._write("copy", key, touch, lambda: self._inner.copy(source, key))

    def _moving(self, body: bytes) -> Touch:
        """A move of LATEST: it also touches what is named before and after.

        Whether all of that is there is judged at each move and deletion, so that their order matters.
        """
        key = self._scheduler.latest_key
        there = self._inner._objects.get(key)
        named = {*self._needed(body), *(self._needed(there[0]) if there else ())}
        return Touch(reads=tuple(sorted(f"{NAMED}{name}" for name in named)), writes=(key,))

    def _needed(self, body: bytes) -> Iterator[str]:
        """The manifests that a LATEST names, and their objects."""
        for key in _manifests_in(body, self._scheduler.root):
            yield key
            there = self._inner._objects.get(key)
            if there is not None:
                yield from self._objects(key, there[0])

    def _objects(self, key: str, manifest: bytes) -> tuple[str, ...]:
        home = key.partition(f"/{MANIFESTS}/")[0]
        return tuple(f"{home}/{name}" for name in _objects_in(manifest))

    def _look(self, op: str, key: str, touch: Touch, perform: Callable[[], Any]) -> Any:
        task = self._scheduler.pause((op, key), touch)
        if key == self._scheduler.latest_key:
            self._scheduler.saw(op, key, task)
        return self._answered(task.process, op, key, perform)

    def _write(self, op: str, key: str, touch: Touch, perform: Callable[[], Any]) -> Any:
        scheduler = self._scheduler
        task = scheduler.pause((op, key), touch)
        kind = task.process.next_write()
        if kind == "refused":
            raise StoreUnavailableError("injected: refused")
        answer = self._answered(task.process, op, key, perform)
        scheduler.note_body(key)
        scheduler.saw(op, key, task)
        if kind == "crash":
            task.process.is_dead = True
            raise Killed
        if kind == "lost":
            raise StoreUnavailableError("injected: the reply is lost")
        return answer

    def _answered(self, process: Process, op: str, key: str, perform: Callable[[], Any]) -> Any:
        try:
            answer = perform()
        except Exception as error:
            process.answers = hash((process.answers, op, key, type(error).__name__))
            raise
        if op == "read":
            said: object = answer[0]
        elif op in ("list", "folders"):
            said = tuple(getattr(entry, "key", entry) for entry in answer)
        else:
            said = bytes(answer[0]) if op == "download" and answer else None
        process.answers = hash((process.answers, op, key, said))
        return answer


NAMED = "#named/"
"""Before the key of an object: whether a LATEST that needs it is there."""


@cache
def _manifests_in(body: bytes, root: str) -> tuple[str, ...]:
    try:
        pointer = Pointer.decode(body, "")
    except DamagedError:
        return ()
    return tuple(f"{root}/{target.checkpoint}" for target in pointer.retained if not target.is_fresh)


@cache
def _objects_in(manifest: bytes) -> tuple[str, ...]:
    return tuple(record["object"] for record in json.loads(manifest)["files"])
