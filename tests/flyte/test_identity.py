"""Paths are built as Flyte builds them, by a second and plainer implementation, and must be recognised."""

from __future__ import annotations

import itertools
import pickle
import string
from dataclasses import dataclass, replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError, UnidentifiedError
from ckptptr.flyte.identity import FlyteIdentity, identify
from ckptptr.nodes.flyte_paths import NodePrefix

GENERATED = "axq2rsxnmht57kq9sxpt"

SHARDS = [a + b for a, b in itertools.product(string.ascii_lowercase + string.digits, repeat=2)]
BASE32 = string.ascii_lowercase + "123456"


def fnv(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        value ^= byte
        value = value * 16777619 % 2**32
    return value


def short(text: str, limit: int) -> str:
    if len(text.encode()) <= limit:
        return text
    bits = f"{fnv(text):032b}000"
    return "f" + "".join(BASE32[int(bits[i : i + 5], 2)] for i in range(0, 35, 5))


@dataclass(frozen=True)
class Pod:
    """One attempt of a node. A level is (node id, attempt); a map index is a number, not a string."""

    levels: tuple[tuple[str | int, int], ...] = (("n0", 0),)
    execution: str = GENERATED
    base: str = "s3://bucket/data"
    meta: str = "s3://bucket/metadata/propeller"
    infix: str = ""
    limit: int = 50
    project: str = "flyte-snacks"
    domain: str = "dev-east"

    @property
    def attempt(self) -> int:
        return self.levels[-1][1]

    def at(self, attempt: int) -> Pod:
        return replace(self, levels=(*self.levels[:-1], (self.levels[-1][0], attempt)))

    @property
    def uid(self) -> str:
        node = ""
        for (level, _), (_, parent_attempt) in zip(self.levels, (("", 0), *self.levels), strict=False):
            plain = level if isinstance(level, str) else f"n{level}"
            node = short(f"{node}-{parent_attempt}-{plain}" if node else plain, 20)
        return node

    @property
    def raw(self) -> str:
        uid = short(f"{self.execution}-{self.uid}-{self.attempt}", self.limit)
        return f"{self.base}/{SHARDS[fnv(uid) % 1296]}/{self.infix}{uid}"

    @property
    def home(self) -> str:
        return f"{self.raw}/_flytecheckpoints"

    @property
    def outputs(self) -> str:
        (top, attempt), *below = self.levels
        path = f"{self.meta}/{self.project}-{self.domain}-{self.execution}/{top}/data/{attempt}"
        return path + "".join(f"/{level}/{attempt}" for level, attempt in below)

    @property
    def environ(self) -> dict[str, str]:
        return {
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.domain,
            "FLYTE_INTERNAL_EXECUTION_ID": self.execution,
            "FLYTE_INTERNAL_TASK_NAME": "app.train",
            "FLYTE_ATTEMPT_NUMBER": str(self.attempt),
        }


def seen(
    pod: Pod,
    *,
    home: str | None = None,
    previous: str | None = None,
    outputs: str | None = "",
    **environ: str,
) -> FlyteIdentity:
    """The identity from what the pod is told; `outputs` "" stands for its true output prefix."""
    identity = identify(
        checkpoint_path=home or pod.home,
        prev_checkpoint=previous,
        output_prefix=pod.outputs if outputs == "" else outputs,
        environ=pod.environ | environ,
    )
    assert identity is not None
    return identity


attempts = st.integers(0, 12)
executions = st.one_of(
    st.text(string.ascii_lowercase + string.digits, min_size=20, max_size=20),
    st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z][a-z0-9-]{38,61}[a-z0-9]", fullmatch=True),
)
node_ids = st.from_regex(r"(n|dn)[0-9]{1,2}|[a-z][a-z0-9-]{0,40}[a-z0-9]", fullmatch=True)
levels = st.tuples(
    st.tuples(node_ids, attempts),
    st.lists(st.tuples(st.one_of(node_ids, st.integers(0, 5000)), attempts), max_size=3),
).map(lambda drawn: (drawn[0], *drawn[1]))
infixes = st.sampled_from(["", "org/", "org/flyte-snacks/dev-east/"])
bases = st.sampled_from(["s3://bucket", "gs://bucket/data", "/mnt/data", "file:///mnt/data", "s3://vr/vr/6s"])
pods = st.builds(Pod, levels, executions, bases, infix=infixes, limit=st.sampled_from([50, 47]))


@given(pods)
def test_any_node_is_recognised_with_all_its_earlier_homes(pod: Pod) -> None:
    me = seen(pod, previous=pod.at(pod.attempt - 1).home if pod.attempt else None)
    assert (me.verified, me.why_not, me.recovered) == (True, "", None)
    assert (me.root, me.node, me.attempt, me.home) == (pod.base, pod.uid, pod.attempt, pod.home)
    assert me.homes_of(pod.attempt) == (pod.home,)
    assert all(pod.at(earlier).home in me.homes_of(earlier) for earlier in range(pod.attempt))


@given(pods, attempts)
def test_the_prefix_is_the_same_for_every_attempt(pod: Pod, other: int) -> None:
    me = seen(pod)
    assert me.prefix == seen(pod.at(other)).prefix
    assert me.prefix == f"{pod.base}/_ckptptr/flyte-snacks/dev-east/{pod.execution}/{pod.uid}"


@given(pods)
def test_the_prefix_alone_gives_the_homes_back(pod: Pod) -> None:
    assume(not pod.infix)
    parsed = NodePrefix.parse(seen(pod).prefix)
    assert parsed is not None
    assert all(pod.at(attempt).home in parsed.homes_of(attempt) for attempt in range(12))


# No child with an id like `n3`: Flyte itself takes it and map index 3 for one.
plain_levels = st.tuples(
    st.tuples(st.sampled_from(["n0", "n1", "n10"]), st.integers(0, 1)),
    st.lists(st.tuples(st.sampled_from(["dn0", "dn10", 0, 1, 10]), st.integers(0, 1)), max_size=2),
).map(lambda drawn: (drawn[0], *drawn[1]))
plain_pods = st.builds(Pod, plain_levels, st.sampled_from(["a", "a1", "a-n0", "a-0"]))


@given(st.lists(plain_pods, min_size=2, max_size=6, unique_by=lambda pod: pod.at(0)))
def test_two_nodes_indices_or_executions_never_share_a_prefix(different: list[Pod]) -> None:
    assert len({seen(pod).prefix for pod in different}) == len(different)


@pytest.mark.parametrize(
    ("levels", "node", "lineage"),
    [
        ((("n0", 0),), "n0", "n0"),
        ((("n0", 0), (3, 1)), "n0-0-n3", "n0/0/n3"),
        ((("n0", 2), ("dn0", 0)), "n0-2-dn0", "n0/2/dn0"),
        ((("n2", 1), ("n0", 0), (3, 0)), "n2-1-n0-0-n3", "n2/1/n0/0/n3"),
        ((("my-very-long-training-node", 0),), "f124nlsy", "my-very-long-training-node"),
    ],
)
def test_lineage_is_the_unhashed_path_of_the_node(
    levels: tuple[tuple[str | int, int], ...], node: str, lineage: str
) -> None:
    me = seen(Pod(levels=levels))
    assert (me.node, me.lineage, me.verified) == (node, lineage, True)


def test_a_retry_of_the_parent_makes_other_nodes_of_its_children() -> None:
    first, second = (seen(Pod(levels=(("n0", parent), ("dn0", 0)))) for parent in (0, 1))
    assert first.prefix != second.prefix


def test_a_child_really_named_by_a_number_is_told_from_a_map_index() -> None:
    me = seen(Pod(levels=(("n0", 0), ("3", 0))))
    assert (me.node, me.lineage, me.verified, me.is_index) == ("n0-0-3", "n0/0/3", True, False)


@pytest.mark.parametrize(
    ("levels", "is_index"),
    [
        ((("n0", 0),), False),
        ((("n0", 0), ("n3", 0)), False),
        ((("n0", 0), (3, 0)), True),
        ((("n0", 0), ("dn0", 0), (3, 0)), True),
        ((("n0", 0), (3, 0), ("n1", 0)), False),
    ],
)
def test_a_map_index_is_told_from_a_child_of_a_sub_workflow_of_the_same_id(
    levels: tuple[tuple[str | int, int], ...], is_index: bool
) -> None:
    assert seen(Pod(levels=levels)).is_index is is_index


def test_a_long_execution_name_is_followed_from_the_hashed_attempt_back_to_the_plain_one() -> None:
    pod = Pod(execution="e" * 45, levels=(("n0", 10),))
    assert len(pod.raw.rpartition("/")[2]) == 8
    assert "e" * 45 + "-n0-9/" in seen(pod).homes_of(9)[0]


def test_an_execution_name_of_63_characters_is_recognised() -> None:
    pod = Pod(execution="e" * 63, levels=(("n0", 2),))
    assert seen(pod).homes_of(0) == (pod.at(0).home,)


def test_ray_gives_two_homes_for_an_attempt_where_its_shorter_uid_would_differ() -> None:
    """The uid of attempt 9 has 47 bytes, which fit both limits, that of attempt 10 one more."""
    pod = Pod(execution="e" * 42, levels=(("n0", 9),))
    assert seen(pod).homes_of(10) == (pod.at(10).home, replace(pod, limit=47).at(10).home)


def test_a_uid_that_only_rays_limit_hashes_settles_the_limit() -> None:
    pod = Pod(execution="e" * 44, levels=(("n0", 1),), limit=47)
    assert seen(pod).homes_of(0) == (pod.at(0).home,)


def test_path_parts_between_shard_and_uid_are_kept() -> None:
    pod = Pod(infix="org/flyte-snacks/", levels=(("n0", 3),))
    me = seen(pod)
    assert (me.root, me.homes_of(0)) == (pod.base, (pod.at(0).home,))


def test_of_two_folders_that_look_like_the_shard_the_nearest_to_the_uid_is_it() -> None:
    shard = Pod().raw.split("/")[-2]
    assert seen(Pod(base=f"s3://bucket/{shard}")).root == f"s3://bucket/{shard}"


def test_trailing_slashes_change_nothing() -> None:
    pod = Pod(levels=(("n0", 1),))
    previous = pod.at(0).home
    assert seen(pod, home=f"{pod.home}/", previous=f"{previous}/", outputs=f"{pod.outputs}/") == seen(
        pod, previous=previous
    )


@pytest.mark.parametrize("none", [None, "", '""', "{{.prevCheckpointPrefix}}"])
def test_each_way_of_saying_that_there_is_no_previous_checkpoint_is_understood(none: str | None) -> None:
    assert seen(Pod(), previous=none).previous is None


@pytest.mark.parametrize(
    "meta", ["s3://meta", "s3://meta/some/metadata/propeller", "/meta", "s3://x/metadata"]
)
def test_what_stands_before_the_execution_in_the_output_prefix_does_not_matter(meta: str) -> None:
    assert seen(Pod(meta=meta)).verified


def test_the_last_segment_that_names_the_execution_counts() -> None:
    assert seen(Pod(meta=f"s3://meta/flyte-snacks-dev-east-{GENERATED}/x/data/0")).lineage == "n0"


def test_the_short_variables_of_flytekit_are_read_too() -> None:
    pod = Pod()
    short_names = {"_F_PRJ": "flyte-snacks", "_F_DM": "dev-east", "_F_NM": GENERATED, "_F_TK_NM": "app.train"}
    me = identify(
        checkpoint_path=pod.home, prev_checkpoint=None, output_prefix=pod.outputs, environ=short_names
    )
    assert me == seen(pod)


class TestWithoutAnOutputPrefix:
    """As in the spawned workers of kfpytorch's Elastic."""

    def test_a_plain_uid_is_read_from_the_checkpoint_path(self) -> None:
        pod = Pod(levels=(("n0", 0), (3, 2)), execution="my-run-7")
        worker, launcher = seen(pod, outputs=None), seen(pod)
        assert (worker.verified, worker.lineage) == (True, "")
        assert replace(worker, lineage=launcher.lineage, is_index=True) == launcher

    def test_so_it_is_from_a_prefix_that_does_not_name_the_execution(self) -> None:
        assert seen(Pod(), outputs="s3://meta/elsewhere/n0/data/0").verified

    def test_a_hashed_uid_says_nothing(self) -> None:
        pod = Pod(execution="e" * 63)
        with pytest.raises(UnidentifiedError, match=r"output prefix is not given") as caught:
            seen(pod, outputs=None)
        assert caught.value.key == pod.home

    def test_a_uid_in_the_wrong_shard_proves_nothing(self) -> None:
        with pytest.raises(UnidentifiedError):
            seen(Pod(), home=f"s3://bucket/aa/{GENERATED}-n0-0/_flytecheckpoints", outputs=None)


class TestLegacyMapTasks:
    """The plugin k8s-array: index and retry stand only in the checkpoint path."""

    pod = Pod(levels=(("n0", 1),))

    def home(self, index: int, retry: int) -> str:
        return f"{self.pod.raw}/{index}/{retry}/_flytecheckpoints"

    @pytest.mark.parametrize("outputs", ["", None])
    def test_the_attempt_is_the_retry_of_the_index(self, outputs: str | None) -> None:
        me = seen(self.pod, home=self.home(3, 2), previous=self.home(3, 1), outputs=outputs)
        assert (me.attempt, me.verified, me.recovered) == (2, True, None)
        assert me.homes_of(0) == (self.home(3, 0),)
        assert me.lineage == ("" if outputs is None else "n0/1/i3")

    @given(pods, st.integers(0, 5000), attempts)
    def test_any_index_is_recognised_with_all_its_earlier_homes(
        self, pod: Pod, index: int, retry: int
    ) -> None:
        def home(retry: int) -> str:
            return f"{pod.raw}/{index}/{retry}/_flytecheckpoints"

        me = seen(pod, home=home(retry), previous=home(retry - 1) if retry else None)
        assert (me.verified, me.attempt, me.is_index, me.recovered) == (True, retry, True, None)
        assert all(home(earlier) in me.homes_of(earlier) for earlier in range(retry + 1))

    def test_each_index_has_a_prefix_that_no_array_node_has(self) -> None:
        legacy = {seen(self.pod, home=self.home(index, 0)).prefix for index in range(3)}
        array = {seen(Pod(levels=(("n0", 1), (index, 0)))).prefix for index in range(3)}
        assert len(legacy | array) == 6

    def test_a_retry_of_the_parent_counts_anew_and_so_has_another_prefix(self) -> None:
        before = f"{self.pod.at(0).raw}/3/2/_flytecheckpoints"
        assert seen(self.pod.at(0), home=before).prefix != seen(self.pod, home=self.home(3, 0)).prefix

    def test_the_prefix_alone_gives_the_homes_back(self) -> None:
        parsed = NodePrefix.parse(seen(self.pod, home=self.home(3, 2)).prefix)
        assert parsed is not None
        assert parsed.homes_of(1) == (self.home(3, 1),)

    def test_indices_that_cannot_be_told_apart_get_no_shared_prefix(self) -> None:
        with pytest.raises(UnidentifiedError, match="legacy map task"):
            seen(self.pod, home="s3://bucket/custom/_flytecheckpoints", FLYTE_K8S_ARRAY_INDEX="3")


class TestRecoverMode:
    new = Pod(execution="new-run-2", levels=(("n0", 0), ("dn1", 0)))

    def test_the_old_execution_is_read_from_the_previous_checkpoint(self) -> None:
        old = replace(self.new, execution="old-n0-run-1", base="gs://other/base").at(3)
        recovered = seen(self.new, previous=old.home).recovered
        assert recovered is not None
        assert recovered.node is not None
        assert (recovered.node.execution, recovered.attempt) == ("old-n0-run-1", 3)
        assert (recovered.home, recovered.node.prefix) == (old.home, seen(old).prefix)
        assert [recovered.node.homes_of(n) for n in range(4)] == [(old.at(n).home,) for n in range(4)]

    def test_of_a_hashed_one_only_its_home_is_known(self) -> None:
        old = replace(self.new, execution="e" * 63)
        recovered = seen(self.new, previous=old.home).recovered
        assert recovered is not None
        assert (recovered.home, recovered.attempt, recovered.node) == (old.home, None, None)

    def test_a_hashed_home_of_the_attempt_before_is_no_other_execution(self) -> None:
        pod = Pod(execution="e" * 63, levels=(("n0", 1),))
        assert seen(pod, previous=pod.at(0).home).recovered is None

    def test_in_an_unknown_layout_nothing_is_proven_about_the_previous_checkpoint_either(self) -> None:
        old = replace(self.new, execution="old")
        assert (
            seen(self.new, home="s3://bucket/custom/_flytecheckpoints", previous=old.home).recovered is None
        )

    @pytest.mark.parametrize(
        "previous",
        [
            "s3://bucket/custom/_flytecheckpoints",
            replace(new, execution="old").home.replace("old-", "other-"),
            replace(new, execution="old", levels=(("n7", 0),)).home,
            replace(new, base="s3://elsewhere").at(2).home,
        ],
        ids=["custom layout", "wrong shard", "another node", "this execution"],
    )
    def test_what_is_not_proven_to_be_the_same_node_elsewhere_is_just_previous(self, previous: str) -> None:
        me = seen(self.new, previous=previous)
        assert (me.recovered, me.previous) == (None, previous)

    @given(pods, executions)
    def test_any_old_execution_is_recognised(self, pod: Pod, execution: str) -> None:
        assume(execution != pod.execution)
        old = replace(pod, execution=execution)
        recovered = seen(pod.at(0), previous=old.home).recovered
        assert recovered is not None
        if recovered.node is not None:
            assert (recovered.node.execution, recovered.attempt) == (execution, pod.attempt)
            assert old.at(0).home in recovered.node.homes_of(0)


class TestUnknownLayouts:
    custom = "s3://bucket/team/checkpoints/17/_flytecheckpoints"

    def test_the_node_still_has_a_prefix_that_all_its_attempts_share(self) -> None:
        pod = Pod(levels=(("n0", 0), (3, 1)))
        one = seen(pod, home=self.custom, previous="s3://bucket/team/checkpoints/16/_flytecheckpoints")
        two = seen(pod.at(2), home=self.custom.replace("17", "18"))
        assert one.prefix == two.prefix == f"s3://bucket/_ckptptr/flyte-snacks/dev-east/{GENERATED}/n0-0-n3"
        assert (one.verified, one.homes_of(0), one.recovered) == (False, (), None)

    def test_the_reason_names_what_was_computed_and_what_was_given(self) -> None:
        pod = Pod(levels=(("n0", 1),))
        reason = seen(pod, home=self.custom, FLYTE_ATTEMPT_NUMBER="4").why_not
        assert f"<root>/6s/{GENERATED}-n0-1/_flytecheckpoints" in reason
        assert self.custom in reason
        assert "FLYTE_ATTEMPT_NUMBER is 4" in reason

    def test_flyte_2_is_not_taken_for_flyte_1_where_the_environment_does_not_say_so(self) -> None:
        me = seen(Pod(), home=f"s3://bucket/vr/org/{GENERATED}/a0/1/_flytecheckpoints")
        assert not me.verified

    @pytest.mark.parametrize(
        ("home", "root"),
        [
            ("s3://bucket/x/y/_flytecheckpoints", "s3://bucket"),
            ("/mnt/run/_flytecheckpoints", "/mnt/run"),
            ("file:///mnt/run/_flytecheckpoints", "file:///mnt/run"),
        ],
    )
    def test_the_root_is_the_bucket_or_the_folder_above(self, home: str, root: str) -> None:
        assert seen(Pod(), home=home).root == root

    def test_a_bucket_that_looks_like_a_shard_is_none(self) -> None:
        assert not seen(Pod(), home=f"s3://vr/{GENERATED}-n0-0/_flytecheckpoints").verified


class TestNoIdentity:
    @pytest.mark.parametrize("execution", [{}, {"FLYTE_INTERNAL_EXECUTION_ID": "local"}])
    def test_a_local_run_is_no_execution(self, execution: dict[str, str]) -> None:
        assert (
            identify(checkpoint_path="/tmp/x", prev_checkpoint=None, output_prefix=None, environ=execution)
            is None
        )

    def test_an_execution_on_flyte_may_be_named_local(self) -> None:
        assert seen(Pod(execution="local")).verified

    @pytest.mark.parametrize("name", ["FLYTE_INTERNAL_EXECUTION_PROJECT", "FLYTE_INTERNAL_EXECUTION_DOMAIN"])
    @pytest.mark.parametrize("value", ["", "a/b", ".."])
    def test_a_project_or_domain_that_names_no_folder_is_refused(self, name: str, value: str) -> None:
        with pytest.raises(UnidentifiedError, match=name):
            seen(Pod(), **{name: value})

    def test_without_a_checkpoint_path_there_is_nothing_to_go_by(self) -> None:
        with pytest.raises(UnidentifiedError, match="no checkpoint path"):
            seen(Pod(), home="{{.checkpointOutputPrefix}}")

    def test_the_error_is_an_invalid_argument_and_survives_pickling(self) -> None:
        error = pickle.loads(pickle.dumps(UnidentifiedError("why", key="s3://x")))  # noqa: S301
        assert isinstance(error, InvalidArgumentError)
        assert (str(error), error.code) == ("why: s3://x", "unidentified")
