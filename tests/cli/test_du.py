"""`ckptptr du`: what checkpoints take, what has expired, what is orphaned."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ckptptr
from ckptptr.errors import StoreUnavailableError
from ckptptr.inspect.survey import Owners, everywhere, survey
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.port import Entry
from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json

TORN = "0000000009-a0000-abcdefgh"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """n0: two attempts, the first with a torn save; n1: nothing to free; a node of another project."""
    data = tmp_path / "data"
    first = FlyteNode(data)
    first.save(0, 1, 2, 3, 4)
    torn = first.home(0) / "data" / TORN / "model.pt"
    torn.parent.mkdir()
    torn.write_bytes(b"x" * 1000)
    first.save(1, 5)
    FlyteNode(data, "n1").save(0, 1)
    other = NodePrefix(root=str(data), project="p", domain="production", execution="other", node="n0")
    with ckptptr.open(other.prefix, attempt=0) as checkpoints:
        checkpoints.save(b"x" * 50_000)
    return data


def used(*arguments: str) -> dict[str, Any]:
    """The rows by their last name."""
    told = run_json("du", *arguments)
    return {row["name"] or row["execution"] or row["domain"] or row["project"]: row for row in told["rows"]}


def test_it_counts_each_object_once_and_the_largest_comes_first(root: Path) -> None:
    told = run_json("du", str(root))
    assert [row["project"] for row in told["rows"]] == ["p", "flytesnacks"]
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".ckptptr-")]
    total = told["total"]
    assert (total["objects"], total["bytes"]) == (len(files), sum(path.stat().st_size for path in files))
    assert (total["nodes"], total["checkpoints"]) == (3, len([*root.rglob("manifests/*.json")]))
    assert told["unowned"]["homes"] == 0
    assert total["written_at"] == max(row["written_at"] for row in told["rows"])


def test_what_it_calls_expired_and_orphaned_is_what_a_sweep_deletes(root: Path) -> None:
    row = used(str(root), "--by", "node")["n0"]
    swept = run_json("sweep", FlyteNode(root).url, "--yes")
    assert {leaving["why"] for leaving in swept["checkpoints"]} == {"doomed", "orphan"}
    assert row["expired_bytes"] + row["orphaned_bytes"] == swept["bytes"]
    assert row["expired_objects"] + row["orphaned_objects"] == swept["objects"]
    assert (row["orphaned_bytes"], row["orphaned_objects"]) == (1000, 1)
    after = used(str(root), "--by", "node")["n0"]
    assert (after["expired_bytes"], after["orphaned_bytes"]) == (0, 0)


def test_payload_that_a_kept_checkpoint_needs_is_not_free(tmp_path: Path) -> None:
    node = FlyteNode(tmp_path)
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        for step in range(5):
            with checkpoints.batch(step=step) as batch:
                (tmp_path / "same").write_bytes(b"x" * 1000)
                (tmp_path / "new").write_bytes(b"%d" % step * 100)
                batch.add(tmp_path / "same")
                batch.add(tmp_path / "new")
    row = used(str(tmp_path), "--by", "node")["n0"]
    assert (row["expired_bytes"], row["expired_objects"]) == (100, 1)


def test_where_a_damaged_manifest_may_need_it_nothing_is_free(root: Path) -> None:
    node = FlyteNode(root)
    for manifest in node.home(0).glob("manifests/*.json"):
        node.damage(manifest.stem)
    row = used(str(root), "--by", "node")["n0"]
    assert (row["expired_bytes"], row["orphaned_bytes"]) == (0, 0)
    assert run_json("sweep", node.url, "--dry-run")["bytes"] == 0


def test_a_pinned_checkpoint_is_not_free(root: Path) -> None:
    node = FlyteNode(root)
    before = used(str(root), "--by", "node")["n0"]["orphaned_bytes"]
    (node.home(0) / "manifests" / f"{TORN}.pin").write_text("{}")
    assert used(str(root), "--by", "node")["n0"]["orphaned_bytes"] == before - 1000


@pytest.mark.parametrize(
    ("inside", "by", "rows"),
    [
        ("_ckptptr", "project", ["flytesnacks", "p"]),
        ("_ckptptr/p", "domain", ["production"]),
        ("_ckptptr/flytesnacks/development", "execution", [EXECUTION]),
        (f"_ckptptr/flytesnacks/development/{EXECUTION}", "node", ["n0", "n1"]),
        (f"_ckptptr/flytesnacks/development/{EXECUTION}/n0", "node", ["n0"]),
    ],
)
def test_below_a_base_it_says_the_same_of_a_part(root: Path, inside: str, by: str, rows: list[str]) -> None:
    whole, part = used(str(root), "--by", by), used(f"{root}/{inside}", "--by", by)
    assert sorted(part) == rows
    assert part == {name: whole[name] for name in rows}


def test_homes_without_a_latest_are_told_apart(root: Path) -> None:
    before = run_json("du", str(root))
    Path(FlyteNode(root, "n1").url, "LATEST").unlink()
    stock = root / "aa/stock-n0-0/_flytecheckpoints/model.pt"
    stock.parent.mkdir(parents=True)
    stock.write_bytes(b"x" * 77)
    after = run_json("du", str(root))
    assert after["unowned"]["homes"] == 2
    assert after["total"]["nodes"] == before["total"]["nodes"] - 1
    assert "in 2 homes without a LATEST" in run("du", str(root)).stdout


def test_the_text_says_what_a_sweep_would_free(root: Path) -> None:
    FlyteNode(root, "n2-0-n0").save(0, 1)
    FlyteNode(root, "n2-0-n1").save(0, 1)
    said = run("du", str(root), "--by", "node").stdout
    assert f": the checkpoints of 5 nodes below {root}\n" in said
    assert "A sweep would free 7 B that has expired, and 1000 B that is orphaned." in said
    assert len([line for line in said.splitlines() if " n2-0-n* " in line]) == 1
    assert len(run_json("du", str(root), "--by", "node")["rows"]) == 5


def test_where_there_is_none_it_says_what_was_looked_at(tmp_path: Path) -> None:
    said = run("du", str(tmp_path))
    assert (said.exit_code, f"  {tmp_path}/_ckptptr/**/LATEST\n" in said.stderr) == (3, True)


LONG = "an-execution-whose-name-is-so-long-that-flyte-hashes-it"


@pytest.mark.parametrize(
    ("execution", "node", "attempt"),
    [
        ("exec", "n0", 0),
        ("a-b-c", "n1-0-n7", 12),
        ("exec", "n2_1_i5", 3),
        (LONG, "n0", 0),
        (LONG, "n0", 7),
        ("run", "a0_v2", 2),
    ],
)
def test_a_home_is_counted_for_its_node_in_each_layout_of_flyte(
    tmp_path: Path, execution: str, node: str, attempt: int
) -> None:
    base = tmp_path / "xy/org/run" if node.endswith("_v2") else tmp_path
    prefix = NodePrefix(root=str(base), project="p", domain="d", execution=execution, node=node)
    with ckptptr.open(prefix.prefix, attempt=attempt) as checkpoints:
        checkpoints.save(b"x" * 12_345)
    told = run_json("du", str(tmp_path), "--by", "node")
    assert [(row["name"], row["bytes"] > 12_345) for row in told["rows"]] == [(node, True)]
    assert told["unowned"]["homes"] == 0
    part = run_json("du", prefix.prefix)
    assert part["total"]["bytes"] == told["total"]["bytes"]


@pytest.mark.slow
def test_with_flyte_2_the_base_of_a_run_is_enough(tmp_path: Path) -> None:
    root = str(tmp_path / "xy/org/run")
    prefix = NodePrefix(root=root, project="p", domain="d", execution="run", node="an-action_v2").prefix
    with ckptptr.open(prefix, attempt=1) as checkpoints:
        checkpoints.save(b"x" * 12_345)
    total = run_json("du", str(tmp_path))["total"]
    assert total["bytes"] > 12_345
    for base in ("org/run", "org"):
        assert run_json("du", "--flyte-2", str(tmp_path / base))["total"] == total
    for inside in (root, f"{root}/_ckptptr", prefix):
        assert run_json("du", inside)["total"] == total


def test_what_the_ranks_of_a_killed_save_recorded_is_orphaned_too(root: Path) -> None:
    home = FlyteNode(root).home(0)
    record = home / "data/.sets/round1/abcdefgh.json"  # its nonce is that of TORN
    record.parent.mkdir(parents=True)
    record.write_text("{}")
    row = used(str(root), "--by", "node")["n0"]
    assert (row["orphaned_bytes"], row["orphaned_objects"]) == (1002, 2)
    swept = run_json("sweep", FlyteNode(root).url, "--yes")
    assert swept["objects"] == row["expired_objects"] + 2


def test_a_home_of_two_executions_of_one_name_belongs_to_both() -> None:
    nodes = [NodePrefix(root="b/d", project=p, domain="d", execution="e", node="n0") for p in ("p", "q")]
    owners = Owners(node.prefix for node in nodes)
    assert owners.of(nodes[0].homes_of(3)[0]) == [node.prefix for node in nodes]
    assert owners.of("b/d/aa/e-n0-3/_flytecheckpoints") == []  # not its shard


class Endless(MemoryStore):
    """A base with a few nodes and as many objects as it is told."""

    def __init__(self, objects: int) -> None:
        super().__init__()
        self.objects = objects

    def stream(self, folder: str) -> Iterator[Entry]:
        node = NodePrefix(root="b", project="p", domain="d", execution="e", node="n0")
        if folder == "b/_ckptptr":
            yield Entry(f"{node.prefix}/LATEST", 900, 1.0)
        for attempt in range(3):
            home = node.homes_of(attempt)[0]
            for number in range(self.objects // 3 if home.startswith(f"{folder}/") else 0):
                yield Entry(f"{home}/data/{number % 100:010d}-a000{attempt}-abcdefgh/{number}", 10, 1.0)


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_number_of_objects() -> None:
    peaks = []
    for objects in (15_000, 150_000):
        store, told = Endless(objects), list[int]()
        tracemalloc.start()
        found = survey(store, everywhere("b"), told.append)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert sum(told) == sum(home.all.objects for home in found.homes.values()) + 1 == objects + 1
    assert peaks[1] < peaks[0] + 2**20 < 4 * 2**20  # 135,000 more objects; a few hundred KiB are chance


def test_a_stream_that_breaks_off_is_counted_once() -> None:
    class Breaks(MemoryStore):
        def stream(self, folder: str) -> Iterator[Entry]:
            yield from [*super().list(folder)][:1]
            raise StoreUnavailableError("page 2")

    store = Breaks()
    for name in ("LATEST", "LATEST.damaged-x"):
        store.create(f"b/_ckptptr/p/d/e/n0/{name}", b"12")
    (node,) = survey(store, everywhere("b")).nodes.values()
    assert (node.all.objects, node.all.bytes) == (2, 4)
