"""Flyte 2: one shard for all attempts of an action, attempts from 1, and what a pod there is told."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError, UnidentifiedError
from ckptptr.flyte.identity import identify
from ckptptr.nodes.flyte_identity import FlyteIdentity
from ckptptr.nodes.flyte_node import node_of
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import node_at
from ckptptr.stores.memory import MemoryStore


@dataclass(frozen=True)
class Pod:
    """One attempt of an action, as the executor of Flyte 2 places it."""

    attempt: int = 1
    action: str = "a0"
    run: str = "r8k2jx"
    bucket: str = "s3://bucket"
    rest: str = "org/flytesnacks/development/r8k2jx"
    shard: str = "q7"

    @property
    def home(self) -> str:
        parts = [self.bucket, self.shard, *filter(None, [self.rest]), self.action, str(self.attempt)]
        return "/".join([*parts, "_flytecheckpoints"])

    @property
    def previous(self) -> str | None:
        return replace(self, attempt=self.attempt - 1).home if self.attempt > 1 else None

    @property
    def environ(self) -> dict[str, str]:
        return {
            "ACTION_NAME": self.action,
            "RUN_NAME": self.run,
            "_U_ORG_NAME": "org",
            "_U_RUN_BASE": f"{self.bucket}/{self.rest}" if self.rest else self.bucket,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": "flytesnacks",
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": "development",
            "FLYTE_INTERNAL_TASK_NAME": "env.train",
            "FLYTE_INTERNAL_TASK_VERSION": "v1",
            "FLYTE_ATTEMPT_NUMBER": str(self.attempt - 1),
        }


def seen(pod: Pod, *, previous: str | None = "", **environ: str) -> FlyteIdentity:
    """The identity from what the pod is told; `previous` "" stands for the true one."""
    identity = identify(
        checkpoint_path=pod.home,
        prev_checkpoint=pod.previous if previous == "" else previous,
        output_prefix=pod.home.rpartition("/")[0],
        environ=pod.environ | environ,
    )
    assert identity is not None
    return identity


names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=30)
pods = st.builds(
    Pod,
    st.integers(1, 12),
    st.one_of(st.just("a0"), names, st.sampled_from(["1", "q7"])),
    names,
    st.sampled_from(["s3://bucket", "gs://q7", "abfs://c"]),
    st.sampled_from(["", "org/p/d/run", "a0/1", "q7/q7"]),
    st.text(string.ascii_lowercase + string.digits, min_size=2, max_size=2),
)


@given(pods)
def test_any_action_is_recognised_with_all_its_homes(pod: Pod) -> None:
    me = seen(pod)
    assert (me.verified, me.why_not, me.attempt, me.execution) == (True, "", pod.attempt, pod.run)
    assert (me.home, me.lineage, me.task, me.version) == (pod.home, pod.action, "env.train", "v1")
    assert [me.homes_of(n) for n in range(1, 12)] == [(replace(pod, attempt=n).home,) for n in range(1, 12)]
    assert me.homes_of(0) == ()


@given(pods, st.integers(1, 12))
def test_the_prefix_is_the_same_for_every_attempt_and_gives_the_homes_back(pod: Pod, other: int) -> None:
    prefix = seen(pod).prefix
    assert prefix == seen(replace(pod, attempt=other)).prefix
    parsed = NodePrefix.parse(prefix)
    assert parsed is not None
    assert parsed.homes_of(other) == (replace(pod, attempt=other).home,)


def test_two_runs_and_two_actions_never_share_a_prefix() -> None:
    pods = [Pod(), Pod(action="a1"), Pod(run="r2"), Pod(rest="org/flytesnacks/development/r2", run="r2")]
    assert len({seen(pod).prefix for pod in pods}) == 4


def test_a_preempted_pod_comes_back_as_the_same_attempt() -> None:
    """Flyte 2 does not raise the attempt then: the own home is where the walk-back begins."""
    pod = Pod(attempt=3)
    node = node_of(seen(pod), MemoryStore(), {})
    earlier = [replace(pod, attempt=n).home.removeprefix("s3://") for n in (2, 1)]
    assert (node.home, list(node.earlier_homes(MemoryStore()))) == (pod.home.removeprefix("s3://"), earlier)
    assert node.attempt == 3


def test_the_own_home_given_as_the_previous_one_proves_it_too() -> None:
    """So did an executor of early 2026."""
    pod = Pod(attempt=2)
    assert seen(pod, previous=pod.home).verified


@pytest.mark.parametrize(
    ("pod", "previous", "environ", "reason"),
    [
        (Pod(attempt=2), None, {}, "would be at .*/a0/1/_flytecheckpoints, but .* given is none"),
        (
            Pod(attempt=2),
            "s3://bucket/zz/other",
            {},
            "but the previous checkpoint given is s3://bucket/zz/other",
        ),
        (Pod(), "", {"_U_RUN_BASE": "s3://bucket/org/elsewhere"}, "_U_RUN_BASE is s3://bucket/org/elsewhere"),
        (Pod(shard="custom"), "", {}, "no shard of two characters"),
    ],
)
def test_what_does_not_verify_says_why_and_computes_nothing_but_keeps_its_prefix(
    pod: Pod, previous: str | None, environ: dict[str, str], reason: str
) -> None:
    me = seen(pod, previous=previous, **environ)
    assert re.search(reason, me.why_not)
    assert not me.verified
    assert me.homes_of(1) == ()
    assert me.prefix == seen(replace(pod, attempt=5)).prefix


@pytest.mark.parametrize("missing", ["ACTION_NAME", "RUN_NAME"])
def test_without_its_names_nothing_is_guessed(missing: str) -> None:
    pod = Pod()
    environ = {**pod.environ, "FLYTE_INTERNAL_EXECUTION_ID": pod.run, missing: ""}
    with pytest.raises(UnidentifiedError):
        identify(checkpoint_path=pod.home, prev_checkpoint=None, output_prefix=None, environ=environ)


def test_a_node_prefix_of_flyte_2_can_be_opened_from_outside() -> None:
    store = MemoryStore()
    key = seen(Pod()).prefix.removeprefix("s3://")
    node = node_at(store, key, attempt=None, read_only=True)
    assert (node.attempt, node.home) == (1, Pod().home.removeprefix("s3://"))
    store.create(f"{Pod(attempt=4).home.removeprefix('s3://')}/model", b"x")
    assert node_at(store, key, attempt=None, read_only=True).attempt == 5
    with pytest.raises(InvalidArgumentError, match="they count from 1"):
        node_at(store, key, attempt=0, read_only=True)
