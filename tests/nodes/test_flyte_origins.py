"""Which nodes a task may go on from, by arithmetic alone, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError
from ckptptr.nodes.flyte_node import node_of
from ckptptr.nodes.flyte_origins import earlier_lineages
from ckptptr.protocol.manifest import Lineage, Manifest
from ckptptr.protocol.node import Node, Origin
from ckptptr.stores.memory import MemoryStore
from ckptptr.stores.urls import split
from tests.flyte.test_identity import Pod, pods, seen
from tests.formats.strategies import modest

ACROSS = {"CKPTPTR_ACROSS_PARENT_RETRIES": "1"}
CHILD = Pod(levels=(("n0", 2), ("dn0", 0)))
INDEX = Pod(levels=(("n0", 2), (3, 0)))


def node(pod: Pod, environ: dict[str, str] | None = None, **told: str) -> Node:
    told = {"FLYTE_INTERNAL_TASK_VERSION": "v1", **told}
    return node_of(seen(pod, **told), MemoryStore(), environ or {})


def where(origins: tuple[Origin, ...]) -> list[str]:
    return [str(origin.prefix).rpartition("/")[2] for origin in origins]


def under(pod: Pod, parent_attempt: int, attempt: int = 0) -> Pod:
    """The same child under another attempt of its parent."""
    *above, (parent, _), (child, _) = pod.levels
    return replace(pod, levels=(*above, (parent, parent_attempt), (child, attempt)))


@pytest.mark.parametrize(
    ("lineage", "earlier"),
    [
        ("n0", []),
        ("n0/0/n3", []),
        ("n0/2/n3", [("n0/1/n3", 1), ("n0/0/n3", 1)]),
        ("n2/0/n0/1/n3", [("n2/0/n0/0/n3", 1)]),
        (
            "n2/1/n0/1/n3",
            [("n2/1/n0/0/n3", 1), ("n2/0/n0/2/n3", 2), ("n2/0/n0/1/n3", 2), ("n2/0/n0/0/n3", 2)],
        ),
    ],
)
def test_the_nearest_parent_is_gone_back_first(lineage: str, earlier: list[tuple[str, int]]) -> None:
    assert list(earlier_lineages(lineage)) == earlier


@modest
@given(pods, st.integers(0, 3))
def test_an_index_knows_the_homes_that_it_had_under_any_earlier_attempt_of_its_map_task(
    pod: Pod, parent_attempt: int
) -> None:
    pod = replace(pod, levels=(*pod.levels[:1], (7, pod.attempt)))
    pod = under(pod, parent_attempt, pod.attempt)
    origins = node(pod).origins
    assert len(origins) == parent_attempt
    for before, origin in zip(range(parent_attempt - 1, -1, -1), origins, strict=True):
        there = under(pod, before)
        store = MemoryStore()
        store.create(f"{split(there.home).key}/model", b"x")
        assert split(there.home).key in origin.homes(store, -1)
        assert origin.lineage is not None
        assert (origin.lineage.node, bool(origin.lineage.version)) == (seen(there).lineage, False)


def test_other_children_go_back_only_where_that_is_asked_for_and_to_their_own_version() -> None:
    assert node(CHILD).origins == ()
    origins = node(CHILD, ACROSS).origins
    assert where(origins) == ["n0-1-dn0", "n0-0-dn0"]
    assert {origin.lineage.version for origin in origins if origin.lineage} == {"v1"}


@pytest.mark.parametrize("word", ["", "0", "false", "No"])
def test_asking_for_it_can_be_taken_back(word: str) -> None:
    assert node(CHILD, {"CKPTPTR_ACROSS_PARENT_RETRIES": word}).origins == ()


def test_without_a_known_version_nothing_could_be_checked() -> None:
    assert node(CHILD, ACROSS, FLYTE_INTERNAL_TASK_VERSION="").origins == ()


def test_an_index_below_a_retried_dynamic_task_is_another_child_of_it() -> None:
    pod = Pod(levels=(("n0", 1), ("dn0", 1), (3, 0)))
    assert where(node(pod).origins) == ["n0-1-dn0-0-n3"]
    assert where(node(pod, ACROSS).origins) == ["n0-1-dn0-0-n3", *(f"n0-0-dn0-{n}-n3" for n in (2, 1, 0))]


def test_an_index_of_a_legacy_map_task_goes_back_to_the_same_index() -> None:
    pod = Pod(levels=(("n0", 1),))
    identity = seen(pod, home=f"{pod.raw}/3/0/_flytecheckpoints")
    (origin,) = node_of(identity, MemoryStore(), {}).origins
    store, home = MemoryStore(), f"{pod.at(0).raw}/3/2/_flytecheckpoints".removeprefix("s3://")
    store.create(f"{home}/model", b"x")
    assert home in origin.homes(store, -1)


def test_however_often_all_was_retried_the_search_is_bounded() -> None:
    pod = Pod(levels=(("n0", 40), ("n1", 40), ("n2", 40), (3, 0)))
    assert len(node(pod, ACROSS).origins) <= 30


def test_a_layout_that_is_not_known_has_none() -> None:
    assert node(INDEX, home="s3://bucket/custom/_flytecheckpoints").origins == ()


def test_the_recovered_execution_comes_before_the_seed() -> None:
    new = under(CHILD, 0)
    old = replace(new, execution="old-run").home
    origins = node(new, {"CKPTPTR_SEED": "s3://bucket/llama"}, previous=old).origins
    assert [origin.what for origin in origins] == ["execution old-run", "the seed s3://bucket/llama"]
    assert [origin.is_required for origin in origins] == [False, True]


@pytest.mark.parametrize("told", ["n0/1", "n0//n1", "n0/x/n1", "/", "n0/1/"])
def test_a_manifest_whose_lineage_makes_no_sense_tells_no_execution(told: str) -> None:
    new = under(CHILD, 0)
    (origin,) = node(new, previous=replace(new, execution="e" * 60).home).origins
    assert origin.what == "another execution"
    lineage = Lineage(project="p", domain="d", execution="e" * 60, node=told)
    manifest = Manifest(
        id="0000000001-a0000-abcdefgh",
        attempt=0,
        seq=1,
        step=None,
        created_at="",
        created_by="",
        lineage=lineage,
        files=(),
        total_bytes=0,
    )
    assert origin.learn(manifest) is None


def test_a_previous_checkpoint_of_another_execution_is_no_home_of_ours() -> None:
    old = replace(CHILD, execution="old-run").home
    me = node(CHILD, previous=old)
    assert me.previous is None
    assert old.removeprefix("s3://") not in (*me.own_homes(MemoryStore()), *me.earlier_homes(MemoryStore()))


def test_a_previous_checkpoint_in_another_store_is_refused_and_not_looked_for_in_ours() -> None:
    with pytest.raises(InvalidArgumentError, match=r"not in the same store as s3://.*: gs://bucket/"):
        node(CHILD, previous=CHILD.home.replace("s3://", "gs://").replace("n0", "n7"))
