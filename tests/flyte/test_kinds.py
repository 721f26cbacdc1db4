"""Every kind of task, by the real entry point: its checkpoint is found where only path arithmetic finds it.

In each the first attempt is killed in the middle of its fourth save, the next one leaves nothing at all,
LATEST is deleted, and the attempt after them is told of an empty home. `docs/flyte.md` lists these.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.nodes.flyte_paths import HOME, fixed_length_id, shard
from ckptptr.testing.attempts import SimulatedNode
from ckptptr.testing.deaths import in_save
from tests.flyte.places import Place

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute

EXAMPLES = Path(__file__).parents[2] / "examples"
LONG = "a-name-that-its-user-gave-and-that-flyte-lets-have-63-characters"[:63]


@dataclass(frozen=True, slots=True)
class LegacyArray(SimulatedNode):
    """One index of a map task of the plugin k8s-array: index and retry stand only in the checkpoint path."""

    array_index: int = 3

    def home(self, attempt: int) -> str:
        uid = fixed_length_id(50, [self.execution, self.uid, "0"])
        return f"{self.root}/{shard(uid)}/{uid}/{self.array_index}/{attempt}/{HOME}"

    def outputs_at(self, _: int) -> str:
        return SimulatedNode.outputs_at(self, 0)


@dataclass(frozen=True, slots=True)
class Action(SimulatedNode):
    """An action of Flyte 2: the shard comes first and is one for all attempts, which count from 1."""

    def home(self, attempt: int) -> str:
        scheme, _, path = self.root.partition("://")
        bucket, _, rest = path.partition("/")
        return f"{scheme}://{bucket}/q7/{rest}/r8k2jx/a0/{attempt + 1}/{HOME}"


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "sub-workflow": {"node": "n2/0/n1"},
    "branch": {"node": "n0/0/n1-n0"},
    "dynamic child": {"node": "n0/1/dn0"},
    "nested dynamic children": {"node": "fbffih2q-n2/0/n3/0/dn0/2/dn11"},
    "map index": {"index": 3, "inputs": {"n": [8] * 5}},
    "map index in a dynamic task": {"node": "n0/1/dn2", "index": 0, "inputs": {"n": [8]}},
    "Ray": {"uid_limit": 47, "execution": "e" * 44},
    "execution name of 63 characters": {"execution": LONG},
    "name of a single-task run": {"node": "my-very-long-training-node-of-a-single-task-run"},
    "Union's suffix parts": {"infix": ("org", "x")},
    "fast registration": {"fast": True},
    "legacy k8s-array": {"of": LegacyArray, "environ": {"FLYTE_K8S_ARRAY_INDEX": "3"}},
}


def node_of(root: Path, *, of: type[SimulatedNode] = SimulatedNode, **changes: Any) -> SimulatedNode:
    settings = {"folder": str(EXAMPLES), "inputs": {"n": 8}, **changes}
    return of("counter_task", "count_to", root=f"{root}/data", **settings)


def latest_of(node: SimulatedNode) -> Path:
    (found,) = Path(node.root).rglob("LATEST")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_walk_back_finds_it_two_homes_back(tmp_path: Path, kind: str) -> None:
    node = node_of(tmp_path, **KINDS[kind])
    first = node.run(0, in_save(4))
    assert first.signal == 9, first.log
    assert "does not know this layout" not in first.log
    latest_of(node).unlink()
    last = node.run(2)
    assert last.outputs == {"o0": "counted from 3 to 8"}, last.log
    assert "the walk-back through earlier attempts" in last.log


def test_so_it_does_in_flyte_2(on_s3: Place) -> None:
    kept = {name: getattr(on_s3.node, name) for name in SimulatedNode.__slots__}
    environ = {**on_s3.node.environ, "RUN_NAME": "r8k2jx", "ACTION_NAME": "a0"}
    node = Action(**{**kept, "environ": environ})
    first = node.run(0, in_save(4))
    assert first.signal == 9, first.log
    assert "does not know this layout" not in first.log
    (latest,) = (key for key in on_s3.keys(on_s3.root.partition("/")[0]) if key.endswith("a0_v2/LATEST"))
    on_s3.store.delete([latest])
    last = node.run(2)
    assert last.outputs == {"o0": "counted from 3 to 8"}, last.log


def test_where_the_hash_begins_in_mid_chain_it_is_found_as_well(tmp_path: Path) -> None:
    """Attempt 9 has a plain uid of 50 bytes, attempt 10 a hashed one."""
    node = node_of(tmp_path, execution="e" * 45)
    assert node.run(9, in_save(4)).signal == 9
    latest_of(node).unlink()
    assert node.run(11).outputs == {"o0": "counted from 3 to 8"}


def test_a_container_that_restarts_in_place_goes_on_and_its_predecessor_is_fenced(tmp_path: Path) -> None:
    node = node_of(tmp_path)
    assert node.run(0, in_save(4)).signal == 9
    before = latest_of(node).read_text()
    again = node.run(0)
    assert again.outputs == {"o0": "counted from 3 to 8"}, again.log
    owners = [
        line
        for text in (before, latest_of(node).read_text())
        for line in text.split("\n")
        if "incarn" in line
    ]
    assert len(set(owners)) == 2


def test_a_node_whose_hash_collides_with_anothers_takes_nothing_of_it(tmp_path: Path) -> None:
    """The pair that was seen in production (flyte#2800): both are `fldyczra`."""
    one = node_of(tmp_path, node="fbffih2q-n2/0/n3/0/dn0")
    other = replace(one, node="f24nu5ka-n2/0/n3/0/dn4")
    assert one.uid == other.uid
    assert one.run(0).outputs == {"o0": "counted from 0 to 8"}
    told = other.run(1)
    assert told.outputs == {"o0": "counted from 0 to 8"}, told.log
    assert "not the same work" in told.log
