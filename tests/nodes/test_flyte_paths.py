"""Flyte's arithmetic against values that Flyte itself produced."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import InvalidArgumentError
from ckptptr.nodes.flyte_paths import NodePrefix, array_node, fixed_length_id, fnv1a_32, node_uid, shard

EXECUTION = "axq2rsxnmht57kq9sxpt"
names = st.text("abcxyz019-", min_size=1, max_size=70)
NODE = NodePrefix(root="s3://my-s3-bucket/test", project="p", domain="d", execution=EXECUTION, node="n0")


@pytest.mark.parametrize(
    ("max_bytes", "parts", "expected"),
    [
        (20, ["u1", "2", "n1"], "u1-2-n1"),
        (20, ["u1111111111323131231asdadasd", "2", "n1"], "fraibbty"),
        (8, ["name", "n1", "1"], "fpmmhh6q"),
        (8, ["name", "n1", "0"], "fpqmhlei"),
        (20, ["my-very-long-training-node"], "f124nlsy"),
    ],
)
def test_ids_come_out_as_in_flyte(max_bytes: int, parts: list[str], expected: str) -> None:
    assert fixed_length_id(max_bytes, parts) == expected


@pytest.mark.parametrize(
    ("uid", "expected"), [(f"{EXECUTION}-n0-0", "vr"), ("avwmk5z2pbzccvdq5dqm-n0-0", "g8")]
)
def test_shards_come_out_as_seen_in_the_wild(uid: str, expected: str) -> None:
    assert shard(uid) == expected


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)]
)
def test_the_hash_is_fnv_1a(data: bytes, expected: int) -> None:
    """The vectors of the FNV authors' own test suite."""
    assert fnv1a_32(data) == expected


def test_two_nodes_do_collide_as_they_did_in_production() -> None:
    """flyte#2800."""
    one, other = "fbffih2q-n2-0-n3-0-dn0-0", "f24nu5ka-n2-0-n3-0-dn4-0"
    assert fixed_length_id(20, [one]) == fixed_length_id(20, [other]) == "fldyczra"


def test_leading_empty_parts_leave_no_separator_but_later_ones_do() -> None:
    assert fixed_length_id(20, ["", "", "n1"]) == "n1"
    assert fixed_length_id(20, ["n1", "", "n2"]) == "n1--n2"


def test_length_is_counted_in_bytes_and_the_limit_itself_still_fits() -> None:
    assert fixed_length_id(20, ["x" * 20]) == "x" * 20
    assert len(fixed_length_id(20, ["x" * 21])) == 8
    assert len(fixed_length_id(20, ["é" * 11])) == 8


def test_a_limit_with_no_room_for_a_hash_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="no room"):
        fixed_length_id(5, ["name", "n1", "0"])


@given(names)
def test_a_shard_is_two_characters_of_the_alphabet(uid: str) -> None:
    assert len(shard(uid)) == 2
    assert set(shard(uid)) <= set("abcdefghijklmnopqrstuvwxyz0123456789")


@given(st.lists(names, min_size=1), st.integers(8, 60))
def test_an_id_is_the_plain_text_or_a_hash_and_never_too_long(parts: list[str], limit: int) -> None:
    plain, uid = "-".join(parts), fixed_length_id(limit, parts)
    assert len(uid) <= limit
    assert uid == plain or (len(plain) > limit and len(uid) == 8 and uid.startswith("f"))


def test_a_node_is_hashed_step_by_step_down_its_lineage() -> None:
    assert node_uid("n0") == "n0"
    assert node_uid("n0/0/n3") == "n0-0-n3"
    assert node_uid("my-very-long-training-node/2/n1") == "f124nlsy-2-n1"


def test_homes_of_a_node_are_those_that_flyte_gives_its_attempts() -> None:
    root = "s3://my-s3-bucket/test"
    assert NODE.homes_of(0) == (f"{root}/vr/{EXECUTION}-n0-0/_flytecheckpoints",)
    assert NODE.homes_of(1) == (f"{root}/6s/{EXECUTION}-n0-1/_flytecheckpoints",)


def test_a_long_execution_name_hashes_every_attempt_into_another_shard() -> None:
    node = replace(NODE, execution="e" * 40, node=node_uid("n10/0/n3"), uid_limits=(50,))
    homes = [home.split("/")[4:6] for attempt in range(3) for home in node.homes_of(attempt)]
    assert all(len(uid) == 8 for _, uid in homes)
    assert len({where for where, _ in homes}) == 3


def test_a_uid_of_just_50_bytes_is_plain_but_in_a_ray_task() -> None:
    node = replace(NODE, execution="e" * 40, node=node_uid("n0/0/n3"))
    plain, hashed = (home.split("/")[5] for home in node.homes_of(0))
    assert (plain, len(hashed)) == (f"{'e' * 40}-n0-0-n3-0", 8)


def test_hashing_can_begin_between_two_attempts() -> None:
    node = replace(NODE, execution="e" * 45, uid_limits=(50,))
    assert f"{'e' * 45}-n0-9" in node.homes_of(9)[0]
    assert len(node.homes_of(10)[0].split("/")[5]) == 8


def test_a_node_prefix_read_back_gives_two_homes_where_only_rays_shorter_uid_is_hashed() -> None:
    """50 and 47 bytes are the limits; a prefix does not say which one holds."""
    url = replace(NODE, execution="e" * 42).prefix
    parsed = NodePrefix.parse(url)
    assert parsed is not None
    plain, hashed = parsed.homes_of(10)
    assert f"{'e' * 42}-n0-10" in plain
    assert len(hashed.split("/")[5]) == 8
    assert len(parsed.homes_of(9)) == 1


@pytest.mark.parametrize(
    "root", ["s3://bucket", "gs://bucket/a/b", "/mnt/data", "file:///mnt/data", "s3://b/_ckptptr/x"]
)
def test_a_node_prefix_survives_its_url(root: str) -> None:
    prefix = replace(NODE, root=root)
    assert NodePrefix.parse(prefix.prefix) == NodePrefix.parse(prefix.prefix + "/") == prefix


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3://bucket",
        "s3://bucket/_ckptptr/p/d/e",
        "s3://bucket/_ckptptr/p/d/e/n0/LATEST",
        "s3://b/_ckptptr/p//e/n",
    ],
)
def test_what_is_no_node_prefix_is_not_parsed(url: str) -> None:
    assert NodePrefix.parse(url) is None


def test_homes_of_a_legacy_map_index_stand_below_the_raw_outputs_of_its_parent() -> None:
    node = replace(NODE, node=array_node("n0", parent_attempt=1, index=3))
    raw = f"s3://my-s3-bucket/test/6s/{EXECUTION}-n0-1"
    assert node.homes_of(0) == (f"{raw}/3/0/_flytecheckpoints",)
    assert node.homes_of(2) == (f"{raw}/3/2/_flytecheckpoints",)
