"""The tables of docs/scale.md: what large numbers of nodes, map indices and ranks ask of a bucket.

    python -m benchmarks.scale

Nothing large is run. The requests of one save, one restore and one part are those that the real code sends
to a store in memory. The rest is arithmetic with published limits and prices. A test compares the page with
what this prints.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ckptptr.errors import IncompleteError
from ckptptr.inspect.base import Base
from ckptptr.inspect.many import in_parallel
from ckptptr.inspect.usage import usage_of
from ckptptr.nodes.flyte_paths import SHARDS
from ckptptr.protocol.retention import Retention
from ckptptr.session.session import SEARCH_EVERY
from ckptptr.settings import KEEP_LAST
from ckptptr.testing import FaultyStore
from tests.helpers import FLYTE, Process, World

WRITE, LIST, READ, DELETE = "writes", "lists", "reads", "deletes"
KIND_OF = {
    **dict.fromkeys(("create", "replace", "upload", "copy"), WRITE),
    **dict.fromkeys(("read", "download"), READ),
    **{"list": LIST, "delete": DELETE},
}
PRICE = {WRITE: 0.005 / 1000, LIST: 0.005 / 1000, READ: 0.0004 / 1000, DELETE: 0.0}
"""Dollars a request: S3 Standard in us-east-1, and the same in us-east1 of Google Cloud Storage."""
PAGE = 1000
"""Keys in one page of a listing; a page is a request."""

S3_WRITES, S3_READS = 3500, 5500
"""A second, of each partition of a bucket: a range of keys that S3 has split off."""
GCS_WRITES, GCS_READS, GCS_DOUBLING = 1000, 5000, 20
"""A second, of a new bucket; it may double every so many minutes."""
AZURE = 20_000
"""Requests a second of one storage account."""

NODES, INDICES, RANKS, MACHINE = 1_000_000, 100_000, 10_000, 8
WAIT = 30.0
"""Seconds that the ranks wait for the last of them."""
MINUTES = 30 * 24 * 60
"""Of a month."""


@dataclass(frozen=True)
class Requests:
    """How many requests, by their kind and by where they go: `LATEST`, or `home`."""

    by_kind: Mapping[tuple[str, str], float]

    @staticmethod
    def of(process: Process, first: int = 0) -> Requests:
        """What a process has sent, from its request number `first` on."""
        sent = process.store.log[first:]
        return Requests(
            Counter((KIND_OF[r.op], "LATEST" if r.key.startswith(FLYTE) else "home") for r in sent)
        )

    def count(self, *kinds: str, place: str = "") -> float:
        return sum(n for (kind, where), n in self.by_kind.items() if kind in kinds and place in ("", where))

    @property
    def dollars(self) -> float:
        return sum(PRICE[kind] * self.count(kind) for kind in PRICE)

    def __add__(self, other: Requests) -> Requests:
        keys = {**self.by_kind, **other.by_kind}
        return Requests({key: self.by_kind.get(key, 0) + other.by_kind.get(key, 0) for key in keys})

    def __mul__(self, factor: float) -> Requests:
        return Requests({key: n * factor for key, n in self.by_kind.items()})


def new_world(scratch: Path) -> World:
    """A bucket with a node of Flyte."""
    return World(Path(tempfile.mkdtemp(dir=scratch)), FLYTE)


def steady_save(scratch: Path, kept: int = KEEP_LAST.default) -> Requests:
    """A save of one changed file, with its sweep, and its share of a search for orphans: a mean."""
    process, warm = new_world(scratch).process(0, retention=Retention(keep_last=kept)), kept + 2
    for step in range(warm + SEARCH_EVERY):
        if step == warm:
            first = len(process.store.log)
        process.save_bytes(b"%d" % step, step=step)
    return Requests.of(process, first) * (1 / SEARCH_EVERY)


def start(scratch: Path, attempt: int) -> Requests:
    """A restore of one small file, and the first save after it. Each earlier attempt has left checkpoints."""
    world = new_world(scratch)
    for earlier in range(attempt):
        process = world.process(earlier)
        process.restore()
        for step in range(3):
            process.save_bytes(b"%d" % step, step=step)
    process = world.process(attempt)
    process.restore()
    process.save_bytes(b"next", step=9)
    return Requests.of(process)


def restore(scratch: Path) -> Requests:
    """A restore of one small file, by a process that does nothing else."""
    world = new_world(scratch)
    world.process(0).save_bytes(b"state", step=1)
    process = world.process(1, read_only=True)
    process.restore()
    return Requests.of(process)


def parts(scratch: Path, writers: int) -> Requests:
    """A checkpoint of that many writers, each with one small file, of which no one waits: in steady state."""
    world, sent = new_world(scratch), Requests({})
    ranks = [world.process(0, incarnation="round") for _ in range(writers)]
    for step in (1, 2):
        for rank, process in enumerate(ranks):
            first, ours = len(process.store.log), process.checkpoints.parts(rank, writers)
            shard = world.folder({f"shard-{rank}": str(step)})
            ours.save(shard, step=step) if rank == writers - 1 else ours.contribute(shard, step=step)
            if step == 2:
                sent += Requests.of(process, first)
    return sent


def waiting(scratch: Path, seconds: float) -> Requests:
    """What a rank sends while it waits that long for the parts of others."""
    sent = []
    for deadline in (0.0, seconds):
        world = new_world(scratch)
        process = world.process(0, incarnation="round")
        try:
            process.checkpoints.parts(0, 2, deadline=deadline).save(world.folder({"x": "1"}), step=1)
        except IncompleteError:
            sent.append(Requests.of(process))
    not_at_all, so_long = sent
    return so_long + not_at_all * -1


def shown(number: float) -> str:
    """With commas; what is not whole with two digits, if it is small."""
    return f"{number:,.0f}" if number >= 10 or number == round(number) else f"{number:.2f}"


def table(head: str, rows: Iterable[Iterable[object]]) -> str:
    lines = [head.split(" | "), *([str(cell) for cell in row] for row in rows)]
    titles, *others = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([titles, "|---" * len(lines[0]) + "|", *others])


def of_one(ones: Mapping[str, Requests]) -> str:
    rows = (
        (name, *(shown(one.count(kind)) for kind in PRICE), f"${one.dollars * 1_000_000:,.2f}")
        for name, one in ones.items()
    )
    return table("what | writes | lists | reads | deletes | a million of them", rows)


def rates(scenes: Mapping[str, Requests]) -> Iterator[str]:
    def whole_bucket() -> Iterator[tuple[object, ...]]:
        for name, second in scenes.items():
            changes, looks = second.count(WRITE, DELETE), second.count(READ, LIST)
            partitions = math.ceil(max(changes / S3_WRITES, looks / S3_READS))
            doublings = math.ceil(math.log2(max(changes / GCS_WRITES, looks / GCS_READS, 1)))
            accounts = math.ceil((changes + looks) / AZURE)
            warm = f"{doublings * GCS_DOUBLING} minutes"
            yield name, shown(changes), shown(looks), partitions, warm, accounts

    def by_prefix() -> Iterator[tuple[object, ...]]:
        for name, second in scenes.items():
            changes, looks = second.count(WRITE, DELETE, place="LATEST"), second.count(READ, place="LATEST")
            partitions = math.ceil(max(changes / S3_WRITES, looks / S3_READS))
            homes = (
                second.count(*kinds, place="home") / len(SHARDS) for kinds in ((WRITE, DELETE), (READ, LIST))
            )
            yield name, shown(changes), shown(looks), partitions, *map(shown, homes)

    yield table(
        "a second | writes, deletes | reads, lists | S3: partitions | GCS: warm up | Azure: accounts",
        whole_bucket(),
    )
    yield table(
        "a second | LATEST: writes | LATEST: reads | S3: partitions of `_ckptptr/`"
        " | each shard: writes, deletes | each shard: reads, lists",
        by_prefix(),
    )


def months(scratch: Path, save: Requests) -> str:
    one_kept = steady_save(scratch, 1)
    rows = (
        (name, *(f"${count * MINUTES * one.dollars / every:,.2f}" for one, every in columns))
        for columns in [((save, 1), (one_kept, 1), (save, 10), (save, 60))]
        for name, count in (("1 node", 1), (f"{INDICES:,} map indices", INDICES), (f"{NODES:,} nodes", NODES))
    )
    return table("each month | every minute | the same, 1 kept | every 10 minutes | every hour", rows)


def of_ranks(scratch: Path) -> str:
    few, more, wait = parts(scratch, 8), parts(scratch, 16), waiting(scratch, WAIT)
    each = (more + few * -1) * (1 / 8)

    def rows() -> Iterator[tuple[object, ...]]:
        for writers in (8, 64, RANKS // MACHINE, RANKS):
            sent, pages = few + each * (writers - 8), math.ceil(writers / PAGE)
            at_once = writers * pages  # each of them looks at least once
            waited = writers * wait.count(LIST) * pages
            dollars = sent.dollars + at_once * PRICE[LIST]
            slow = waited * PRICE[LIST] + writers * wait.count(READ) * PRICE[READ]
            yield (
                *(f"{writers:,}", shown(sent.count(WRITE)), shown(sent.count(READ)), shown(at_once)),
                f"${dollars * MINUTES:,.0f}",
                shown(at_once + waited),
                f"${(dollars + slow) * MINUTES:,.0f}",
                shown(writers * wait.count(READ, place="LATEST") / WAIT),
            )

    return table(
        "writers | writes | reads | pages of listings | a month, every minute"
        f" | pages, if all wait {WAIT:.0f} s | a month | reads of LATEST a second",
        rows(),
    )


def listings(scratch: Path) -> str:
    def rows() -> Iterator[tuple[object, ...]]:
        for files in (1, 100):
            world = new_world(scratch)
            process = world.process(0)
            for step in range(KEEP_LAST.default + 2):
                process.save({f"{number}": f"{step}" for number in range(files)}, step=step)
            store = FaultyStore(world.store)
            base = Base(patient=store, clock=world.clock, options={}, key=FLYTE.partition("/_")[0], inside="")
            if files == 1:
                in_parallel(base.seen, base.nodes().nodes)
                yield row("`find`", world.find("/LATEST$"), store, 0)
            first = len(store.log)
            usage_of(base, lambda _: None)
            yield row(
                f"`du`, {files} files each" if files > 1 else "`du`, one file each",
                world.find(),
                store,
                first,
            )

    def row(what: str, keys: list[str], store: FaultyStore, first: int) -> tuple[object, ...]:
        reads = NODES * sum(KIND_OF[request.op] == READ for request in store.log[first:])
        pages = math.ceil(NODES * len(keys) / PAGE)
        dollars = pages * PRICE[LIST] + reads * PRICE[READ]
        return what, f"{NODES * len(keys):,}", f"{pages:,}", f"{reads:,}", f"${dollars:,.2f}"

    return table("command | objects | pages | reads | dollars", rows())


def tables() -> Iterator[str]:
    """The tables of the page, in its order."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        save, restart = steady_save(scratch), start(scratch, 1)
        yield of_one(
            {
                "a save": save,
                "a save, 30 are kept": steady_save(scratch, 30),
                "a restore": restore(scratch),
                "attempt 0: nothing to restore, then its first save": start(scratch, 0),
                "attempt 1: a restore, then its first save": restart,
                "attempt 10: the same": start(scratch, 10),
                "attempt 100: the same": start(scratch, 100),
            }
        )
        yield from rates(
            {
                f"{INDICES:,} map indices save every minute": save * (INDICES / 60),
                f"{INDICES:,} map indices restart within a minute": restart * (INDICES / 60),
                f"{NODES:,} nodes save every minute": save * (NODES / 60),
                f"{NODES:,} nodes restart within ten minutes": restart * (NODES / 600),
            }
        )
        yield months(scratch, save)
        yield of_ranks(scratch)
        yield listings(scratch)


if __name__ == "__main__":
    print(*tables(), sep="\n\n")
