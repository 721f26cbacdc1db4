"""A node, its attempts and the people around it, in one process. Nothing waits, nothing is left to chance.

    world = World(tmp_path)
    first = world.process(0)
    first.save({"model": "one"}, step=1)
    assert world.process(1).restore() == {"model": "one"}

A `World` is a bucket with one node in it. `World.process` starts a process of an attempt, with a store
of its own around the bucket: it keeps a log, applies faults (`ckptptr.testing.Fault`), and lets somebody
else act just before or after a chosen request (`Process.before`, `Process.after`). So every interleaving
that a test is about is written down in it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ckptptr.checkpoints import Checkpoint, Checkpoints
from ckptptr.errors import CkptptrError, NotFoundError
from ckptptr.lifetime.background import Background
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import DATA, MANIFESTS, CheckpointId, split_manifest_key
from ckptptr.protocol.node import Node
from ckptptr.protocol.pointer import Pointer
from ckptptr.protocol.resolve import Resolution
from ckptptr.protocol.retention import Retention
from ckptptr.session.session import SEARCH_EVERY, Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Guarantee, Store
from ckptptr.stores.wrappers.last_writer import LastWriterWins
from ckptptr.testing import Fault, FaultyStore

PLAIN = "bucket/run"
"""The key of a node outside Flyte: LATEST here, homes below `attempts/`."""
FLYTE = "bucket/data/_ckptptr/project/domain/execution/n0"
"""The key of a node prefix of Flyte: every home is somewhere else below `bucket/data`."""
LAYOUTS = (PLAIN, FLYTE)

Content = Mapping[str, str]


class FakeClock:
    """Time that passes only when it is slept, and tokens that are counted."""

    def __init__(self) -> None:
        self.slept = 0.0
        self._tokens = itertools.count(1)

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 15, 20, 5, tzinfo=timezone.utc) + timedelta(seconds=self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept += seconds

    def token(self, length: int) -> str:
        return f"{next(self._tokens):0{length}d}"

    def jitter(self) -> float:
        return 0.5


class Meanwhile(FakeClock):
    """While a process sleeps, the next of `acts` happens."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Callable[[], object]] = []

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.acts:
            self.acts.pop(0)()


class Immediate(Background):
    """Does the work at once, in the caller's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[CkptptrError] = []

    def run(self, _: str, work: Callable[[], None]) -> None:
        try:
            work()
        except CkptptrError as error:
            self.failures.append(error)


class Paused(Immediate):
    """Does the work when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[str, Callable[[], None]]] = []

    def run(self, what: str, work: Callable[[], None]) -> None:
        self.waiting.append((what, work))

    def catch_up(self, what: str = "") -> None:
        """Do what waits, or of that only what is called so."""
        todo = [job for job in self.waiting if what in job[0]]
        self.waiting = [job for job in self.waiting if what not in job[0]]
        for job in todo:
            super().run(*job)


class Interleaved:
    """A store in which somebody else acts just before or just after a chosen request, once."""

    _OPS = ("read", "create", "replace", "list", "delete", "upload", "download", "copy")

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self._acts: list[_Act] = []

    def add(self, when: str, op: str, key: str, nth: int, act: Callable[[], object]) -> None:
        self._acts.append(_Act(when, op, key, nth, act))

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self.inner, name)
        if name not in self._OPS:
            return answer

        def request(*arguments: Any) -> Any:
            if name == "delete":
                arguments = ([*arguments[0]],)
            key = " ".join(arguments[0]) if name == "delete" else arguments[1 if name == "copy" else 0]
            self._let_act("before", name, key)
            result = answer(*arguments)
            self._let_act("after", name, key)
            return result

        return request

    def _let_act(self, when: str, op: str, key: str) -> None:
        for act in [act for act in self._acts if act.when == when and act.op in ("", op)]:
            if re.search(act.key, key):
                act.nth -= 1
                if act.nth == 0:
                    self._acts.remove(act)
                    act.act()


@dataclass(slots=True, eq=False)
class _Act:
    when: str
    op: str
    key: str
    nth: int
    act: Callable[[], object]


class Process:
    """One process of one attempt: what its user does, and what its store saw of it."""

    def __init__(
        self,
        world: World,
        node: Node,
        *,
        faults: tuple[Fault, ...] = (),
        retention: Retention | None = None,
        background: Immediate | None = None,
        read_only: bool = False,
        store: Store | None = None,
        incarnation: str = "",
        search_every: int = SEARCH_EVERY,
    ) -> None:
        self.world = world
        self.node = node
        self.background = background or Immediate()
        self._interleaved = Interleaved(store or world.store)
        self.store = FaultyStore(self._interleaved, faults)  # type: ignore[arg-type]
        self._own_store = Interleaved(self.store)
        own: Store = self._own_store  # type: ignore[assignment]
        if own.guarantee is Guarantee.LAST_WRITER_WINS:
            own = LastWriterWins(own)
        session = Session(
            own,
            node,
            retention=retention,
            clock=world.clock,
            background=self.background,
            incarnation=incarnation,
            search_every=search_every,
        )
        self.checkpoints = Checkpoints(session, read_only=read_only)

    def save(self, content: Content, *, step: int | None = None, **metadata: Any) -> Checkpoint:
        """Save a folder with just these files."""
        return self.checkpoints.save(self.world.folder(content), step=step, metadata=metadata)

    def save_file(self, name: str, text: str, *, step: int | None = None, **metadata: Any) -> Checkpoint:
        """Save one file, as stock tasks do."""
        return self.checkpoints.save(self.world.folder({name: text}) / name, step=step, metadata=metadata)

    def save_bytes(self, data: bytes, *, step: int | None = None) -> Checkpoint:
        return self.checkpoints.save(data, step=step)

    def restore(self, checkpoint: str | None = None) -> dict[str, str] | None:
        """What a restore puts into an empty folder; None for a fresh start."""
        folder = self.checkpoints.restore(self.world.new_folder(), checkpoint=checkpoint)
        return None if folder is None else read_folder(folder)

    @property
    def resolution(self) -> Resolution:
        resolution = self.checkpoints.resolution
        assert resolution is not None
        return resolution

    def fail(self, *faults: Fault) -> None:
        """From now on these faults and no others; none at all heals the store."""
        self.store = FaultyStore(self._interleaved, faults)  # type: ignore[arg-type]
        self._own_store.inner = self.store

    def before(self, op: str, key: str, act: Callable[[], object], *, nth: int = 1) -> None:
        """Let somebody else act before our nth request of that kind.

        Args:
            op: the operation; any where it is empty.
            key: a regular expression to be found in the key.
        """
        self._interleaved.add("before", op, key, nth, act)

    def after(self, op: str, key: str, act: Callable[[], object], *, nth: int = 1) -> None:
        """Let somebody else act after it was carried out, and before we hear of that."""
        self._interleaved.add("after", op, key, nth, act)

    @contextmanager
    def requests(self) -> Iterator[list[str]]:
        """The requests that are sent inside the block, each as `op last/part/of/key`."""
        said: list[str] = []
        start = len(self.store.log)
        yield said
        said.extend(f"{request.op} {_short(request.key)}" for request in self.store.log[start:])


class World:
    """A bucket with one node in it, and the looks that a test takes at them.

    Args:
        scratch: a folder of the test's own.
        key: where the node is: `PLAIN` or `FLYTE`.
        beside: another node in the same bucket.
        store, bucket: where the bucket is; in memory if it is not given.
    """

    def __init__(
        self,
        scratch: Path,
        key: str = PLAIN,
        *,
        guarantee: Guarantee = Guarantee.COMPARE_AND_SWAP,
        beside: World | None = None,
        store: Any = None,
        bucket: str = "bucket",
    ) -> None:
        self.store = beside.store if beside else store or MemoryStore(guarantee)
        self.bucket = beside.bucket if beside else bucket
        self.clock = beside.clock if beside else FakeClock()
        self.key = key
        self.first_attempt = int(key.endswith("_v2"))  # Flyte 2 counts from 1
        self._scratch = beside._scratch if beside else scratch
        self._folders = beside._folders if beside else itertools.count(1)

    def fork(self) -> World:
        """Another world that is just like this one, and goes its own way."""
        other = World(self._scratch, self.key)
        other.clock, other._folders = self.clock, self._folders
        for entry in self.store.list("bucket"):
            other.store.create(entry.key, self.store.read(entry.key)[0])
        return other

    # Who acts

    def node(self, attempt: int, **changes: Any) -> Node:
        attempt = max(attempt, self.first_attempt)
        return replace(node_at(self.store, self.key, attempt=attempt, read_only=False), **changes)

    def process(self, attempt: int, *faults: Fault, **settings: Any) -> Process:
        """A new process of an attempt; see `Process` for the settings."""
        return Process(self, self.node(attempt), faults=faults, **settings)

    def person(self, store: Any = None) -> Chooser:
        """Somebody with the command line."""
        node = replace(self.node(0), attempt=9)  # looks into the homes of all attempts before
        store = store or self.store
        return Chooser(store, node, Latest(store, self.key, self.clock, "a person"), self.clock)

    def edit(self, **changes: object) -> None:
        """Change keys of LATEST with a text editor, which keeps the rest of the file."""
        document = json.loads(self.store.read(self.latest_key)[0])
        self.write(json.dumps({**document, **changes}, indent=2))

    def write(self, text: str | bytes) -> None:
        """Write LATEST as `aws s3 cp` does: whatever stands there."""
        self.store.upload(self.latest_key, [text if isinstance(text, bytes) else text.encode()])

    def delete_latest(self) -> None:
        self.store.delete([self.latest_key])

    # What is there

    @property
    def latest_key(self) -> str:
        return f"{self.key}/LATEST"

    def seen(self) -> Seen:
        return Latest(self.store, self.key, self.clock, "a test").read()

    def latest(self) -> Pointer:
        """What LATEST says."""
        pointer = self.seen().pointer
        assert pointer is not None, "LATEST is absent or damaged"
        return pointer

    def named(self) -> list[str]:
        """The references of LATEST's target and history."""
        return [target.checkpoint for target in self.latest().retained]

    def steps(self) -> list[int | None]:
        """The steps of LATEST's target and history, as it tells them."""
        return [target.step for target in self.latest().retained]

    def find(self, pattern: str = "") -> list[str]:
        """The keys in the bucket that a regular expression is found in."""
        return [entry.key for entry in self.store.list(self.bucket) if re.search(pattern, entry.key)]

    def key_of(self, reference: str) -> str:
        return self.node(0).root.key(reference)

    def home_of(self, attempt: int) -> str:
        return self.node(attempt).home

    def manifest(self, reference: str) -> Manifest:
        """The manifest that a reference names.

        Raises:
            NotFoundError: it is not there.
        """
        key = self.key_of(reference)
        found = split_manifest_key(key)
        assert found is not None, f"{reference} is not the path of a manifest"
        return Manifest.decode(self.store.read(key)[0], found[1], key)

    def content(self, reference: str) -> dict[str, str]:
        """The files of a committed checkpoint, straight from the bucket.

        Raises:
            NotFoundError: it is not whole.
        """
        home = self.key_of(reference).rpartition(f"/{MANIFESTS}/")[0]
        files = self.manifest(reference).files
        return {record.path: self.store.read(f"{home}/{record.object}")[0].decode() for record in files}

    def is_whole(self, reference: str) -> bool:
        try:
            return self.content(reference) is not None
        except NotFoundError:
            return False

    def committed(self) -> list[str]:
        """References of all that is committed in the bucket, the oldest first by (attempt, seq)."""
        found: list[tuple[tuple[int, int, str], str]] = []
        root = self.node(0).root
        for key in self.find(rf"/{MANIFESTS}/.*\.json$"):
            split = split_manifest_key(key)
            assert split is not None
            found.append((split[1].age, root.ref(key)))
        return [reference for _, reference in sorted(found)]

    def objects_of(self, reference: str) -> list[str]:
        """The keys of the payload that a checkpoint consists of."""
        home = self.key_of(reference).rpartition(f"/{MANIFESTS}/")[0]
        return [f"{home}/{record.object}" for record in self.manifest(reference).files]

    def strays(self) -> list[str]:
        """Objects in the homes that no checkpoint which LATEST names has any use for; pins aside."""
        committed = {*self.committed()}
        named = [name for name in self.named() if name in committed or not name.endswith(".json")]
        needed = {key for name in named for key in (self.key_of(name), *self.objects_of(name))}
        there = self.find(rf"/({MANIFESTS}|{DATA})/\d{{10}}-.*(?<!\.pin)$")
        return [key for key in there if key not in needed]

    # Local folders

    def new_folder(self) -> Path:
        folder = self._scratch / str(next(self._folders))
        folder.mkdir()
        return folder

    def folder(self, content: Content) -> Path:
        """A new folder with these files."""
        top = self.new_folder()
        for name, text in content.items():
            path = top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return top


def read_folder(folder: Path) -> dict[str, str]:
    """The files of a folder, by their paths in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def id_of(reference: str) -> str:
    """The id in the path of a manifest."""
    name = reference.rpartition("/")[2].removesuffix(".json")
    return str(CheckpointId.parse(name))


def _short(key: str) -> str:
    """`LATEST`, `manifests/<id>.json`, `data/<id>/model` or what else a key ends with, without the homes."""
    found = re.search(rf"({MANIFESTS}|{DATA})/\d{{10}}-.*$|[^/]+$", key)
    return found[0] if found else key
