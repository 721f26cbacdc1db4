"""What is done in a damaged bucket, and what must be true after it, whatever stands there.

- Only errors of `ckptptr.errors` are raised; a command ends with one of its exit codes.
- What reads changes nothing. What fails changes nothing.
- A restore returns one checkpoint, whole, whose manifest has its seal: each file is as that says.
- A confirmed save is found by the next attempt, unless a person holds LATEST.
- What LATEST names and was whole stays whole. Nothing of another node changes.
- What is printed has no control characters; a page has no element that came out of the bucket.
"""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import patch

import xxhash

import ckptptr.inspect.target
from ckptptr.cli.exit_codes import ExitCode
from ckptptr.clock import SystemClock
from ckptptr.errors import CkptptrError
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import split_manifest_key
from ckptptr.protocol.retention import Retention
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.urls import split
from tests.cli.conftest import run as command
from tests.fuzz.case import Case
from tests.fuzz.damage import MARK
from tests.fuzz.start import ROUND, STEP
from tests.helpers import FakeClock, Process, World
from tests.prove.setting import one_thread

READS = {"show", "log", "doctor", "verify", "du", "find", "report", "get", "look", "history"}
_LONG_AGO = 1_000_000_000.0


class WrongError(AssertionError):
    """A rule that was broken."""


@contextmanager
def ready() -> Iterator[None]:
    """Where cases are played: in one thread, without waiting."""
    with one_thread(), patch.object(SystemClock, "sleep", lambda *_: None):
        yield


def play(case: Case, scratch: Path) -> str:
    """Do it and judge it; how it ended, in a word.

    Raises:
        WrongError: a rule was broken. Anything that is not an error of ours goes through.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "in").mkdir(parents=True)
    table = Table(case, scratch)
    before = table.snapshot()
    whole = table.whole_and_named()
    name, *words = case.run
    how = API[name](table, *words) if name in API else table.command(name, *words)
    after = table.snapshot()
    is_reading = name in READS or "--dry-run" in words
    if (is_reading or how != "done") and after != before:
        changed = sorted(key for key in after.keys() | before.keys() if after.get(key) != before.get(key))
        raise WrongError(f"{case.run} ended with {how!r} and changed {changed}")
    if theirs(before, case) != theirs(after, case):
        raise WrongError("another node was changed")
    lost = whole & table.named() - table.whole_and_named()
    if lost:
        raise WrongError(f"LATEST names what is not whole any more: {sorted(lost)}")
    return how


def theirs(objects: Mapping[str, bytes], case: Case) -> dict[str, bytes]:
    others = {key for key in case.begin.objects if "zzzzzzzz" in key}
    return {key: objects[key] for key in others if key in objects}


class Table:
    """The bucket of a case, and hands."""

    def __init__(self, case: Case, scratch: Path) -> None:
        self.case, self.scratch = case, scratch
        self.world = World(scratch, case.prefix)
        self.store = self.world.store
        objects = self.store._objects
        for key, body in case.objects.items():
            token = self.store.create(key, body) if body else self.store._put(key, body)
            objects[key] = (body, token, _LONG_AGO)

    def snapshot(self) -> dict[str, bytes]:
        return {key: body for key, (body, *_) in self.store._objects.items()}

    # What LATEST names, and whether it is whole

    def named(self) -> set[str]:
        """Keys of the manifests that LATEST names, inside the root."""
        try:
            pointer = Latest(self.store, self.case.prefix, FakeClock(), "").read().pointer
        except CkptptrError:
            return set()
        base = self.case.prefix.partition("/_ckptptr/")[0]
        return {f"{base}/{target.checkpoint}" for target in pointer.retained} if pointer else set()

    def whole_and_named(self) -> set[str]:
        return {key for key in self.named() if self._is_whole(key)}

    def _is_whole(self, key: str) -> bool:
        found = split_manifest_key(key)
        if found is None:
            return False
        objects = self.snapshot()
        try:
            manifest = Manifest.decode(objects[key], found[1], key)
            return all(
                xxhash.xxh3_128_hexdigest(objects[f"{found[0]}/{record.object}"]) == record.xxh3_128
                for record in manifest.files
            )
        except (CkptptrError, KeyError):
            return False

    # The library

    def process(self, attempt: str, **settings: Any) -> Process:
        retention = Retention(keep_last=2, keep_every=5, keep_best=1, best_by="loss")
        return self.world.process(int(attempt), retention=retention, **settings)

    def restore(self, attempt: str) -> str:
        try:
            run = self.process(attempt)
            got = run.checkpoints.restore(self.scratch / "out")
        except CkptptrError as error:
            return error.code
        self._judge(run, got)
        return "done"

    def _judge(self, run: Process, got: Path | None) -> None:
        found = run.resolution.found
        if got is None or found is None:
            if got is not None or found is not None:
                raise WrongError("a fresh start with a checkpoint, or the other way round")
            return
        there = {
            path.relative_to(got).as_posix(): path.read_bytes() for path in got.rglob("*") if path.is_file()
        }
        objects = self.snapshot()
        if found.manifest is None:
            expected = {record.path: objects[f"{found.home}/{record.object}"] for record in found.files}
            if there != expected:
                raise WrongError("a plain folder that is not what stands in the bucket")
            return
        body = objects[run.node.root.key(found.reference)]
        document = json.loads(body)
        if not has_seal(document):
            raise WrongError(f"{found.reference} was restored without its seal")
        digests = {record["path"]: (record["size"], record["xxh3_128"]) for record in document["files"]}
        if {path: (len(b), xxhash.xxh3_128_hexdigest(b)) for path, b in there.items()} != digests:
            raise WrongError(f"{found.reference} is not what its manifest says")

    def save(self, attempt: str) -> str:
        return self._confirmed(attempt, lambda run: run.save({"model": "new", "more/x": "1"}, step=50))

    def save_file(self, attempt: str) -> str:
        return self._confirmed(attempt, lambda run: run.save_file("model", "new", step=50))

    def _confirmed(self, attempt: str, save: Callable[[Process], Any]) -> str:
        try:
            run = self.process(attempt)
            run.checkpoints.restore(self.scratch / "out")
        except CkptptrError as error:
            return error.code if self.snapshot() == self.case.objects else "done"
        changed_by_restore = self.snapshot()
        try:
            saved = save(run)
        except CkptptrError:
            if self.named() != self.named_in(changed_by_restore):
                raise WrongError("a failed save moved LATEST") from None
            return "done"
        if self.world.seen().is_held:
            return "done"
        later = self.world.process(int(attempt) + 1)
        restored = later.restore()
        if later.resolution.found is None or (restored or {}).get("model") != "new":
            raise WrongError(f"{saved.reference} was confirmed, and {later.resolution} restored")
        return "done"

    def named_in(self, objects: Mapping[str, bytes]) -> set[str]:
        return Table(
            replace(self.case, put=dict(objects), drop=tuple(self.case.begin.objects)), self.scratch
        ).named()

    def parts(self, attempt: str) -> str:
        """The rank that is missing comes."""
        return self._part(attempt, 1)

    def rank(self, attempt: str) -> str:
        """The rank that was there comes again, and waits for the other one."""
        return self._part(attempt, 0)

    def _part(self, attempt: str, rank: int) -> str:
        try:
            run = self.process(attempt, incarnation=ROUND)
            parts = run.checkpoints.parts(rank=rank, world_size=2, deadline=1)
            folder = self.world.folder({f"rank{rank}": f"of rank {rank}"})
            saved = parts.save(folder, step=STEP, metadata={"loss": 1})
        except CkptptrError:
            return "done"
        paths = {record.path for record in self.world.manifest(saved.reference).files}
        if f"rank{rank}" not in paths:
            raise WrongError("a set was confirmed without our part")
        return "done"

    def look(self, attempt: str) -> str:
        return self._asks(lambda: [self.process(attempt, read_only=True).checkpoints.look()])

    def history(self, attempt: str) -> str:
        return self._asks(lambda: [*self.process(attempt, read_only=True).checkpoints.history()])

    def claim(self, _: str) -> str:
        return self._asks(lambda: node_at(self.store, self.case.prefix, attempt=None, read_only=False))

    def _asks(self, ask: Callable[[], object]) -> str:
        try:
            ask()
        except CkptptrError as error:
            return error.code
        return "done"

    # The command line

    def command(self, name: str, *words: str) -> str:
        url = f"memory://{self.case.prefix}"
        if name in ("find", "du"):
            url = f"memory://{self.case.prefix.partition('/_ckptptr/')[0]}"
        dest = {
            "put": [str(self.scratch / "in")],
            "get": [str(self.scratch / "out")],
            "export": ["memory://bucket/exported"],
        }.get(name, [])
        options = [word for word in words if word.startswith("--") or word == "1d"]
        given = [word for word in words if word not in options]
        if name == "report" and "--json" not in words:
            options += ["-o", "-"]
        (self.scratch / "in" / "model").write_text("put")
        with patch.object(ckptptr.inspect.target, "open_store", self._open):
            result = command(name, *options, "--", url, *given, *dest)
        if result.exit_code not in {*ExitCode} - {ExitCode.UNEXPECTED}:
            raise WrongError(f"exit code {result.exit_code}: {result.stdout} {result.stderr}")
        is_page = name == "report" and "--json" not in words
        for text in (result.stdout, result.stderr):
            odd = {c for c in text if is_odd(c, everywhere=not is_page and "--json" not in words)}
            if odd:
                raise WrongError(f"control characters were printed: {odd}")
        if "--json" in words:
            json.loads(result.stdout or result.stderr, parse_constant=_no_constant)
        elif is_page:
            Page().feed(result.stdout)
        return "done" if result.exit_code in (0, ExitCode.PROBLEMS) else ExitCode(result.exit_code).name

    def _open(self, url: str, **_: Any) -> tuple[MemoryStore, str]:
        return self.store, split(url).key.rstrip("/")


class Page(HTMLParser):
    """Complains of what our own pages do not have."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "img", "iframe", "base"} or any(name.startswith("on") for name, _ in attributes):
            raise WrongError(f"a page with <{tag} {attributes}>: {MARK} was not escaped")


def is_odd(character: str, *, everywhere: bool) -> bool:
    """Whether it could do something to a terminal; `everywhere`: or shows nothing there."""
    if character == "\n":
        return False
    return not character.isprintable() if everywhere else unicodedata.category(character) == "Cc"


def _no_constant(word: str) -> None:
    raise WrongError(f"{word} is not JSON")


def has_seal(document: dict[str, Any]) -> bool:
    """PROTOCOL.md, section 4.1, once more."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return document.get("checksum") == xxhash.xxh3_128_hexdigest(text.encode())


API: dict[str, Callable[..., str]] = {
    "restore": Table.restore,
    "save": Table.save,
    "save file": Table.save_file,
    "parts": Table.parts,
    "rank": Table.rank,
    "look": Table.look,
    "history": Table.history,
    "open": Table.claim,
}
