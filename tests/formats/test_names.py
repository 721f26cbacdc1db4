from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.clock import SystemClock
from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.names import (
    CheckpointId,
    data_folder,
    latest_key,
    manifest_key,
    pin_key,
    split_manifest_key,
)
from tests.formats.strategies import ids, modest

NAME = "0000000017-a0003-k9x2abqz"
ID = CheckpointId(17, 3, "k9x2abqz")


def test_an_id_is_seq_attempt_and_chance() -> None:
    assert str(ID) == NAME
    assert CheckpointId.parse(NAME) == ID


@modest
@given(ids)
def test_an_id_is_read_back_as_it_was_written(id: CheckpointId) -> None:
    assert CheckpointId.match(str(id)) == id


@modest
@given(st.text() | st.from_regex(r"\d{1,12}-a\d{1,6}-[a-z0-9]{1,9}"))
def test_an_id_has_one_spelling(text: str) -> None:
    id = CheckpointId.match(text)
    assert id is None or str(id) == text


@modest
@given(st.lists(st.integers(0, 10**10 - 1), min_size=2, max_size=2, unique=True))
def test_names_sort_by_age_within_an_attempt(seqs: list[int]) -> None:
    older, newer = CheckpointId(min(seqs), 3, "zzzzzz"), CheckpointId(max(seqs), 3, "aaaaaa")
    assert str(older) < str(newer)


@modest
@given(ids, ids)
def test_ids_sort_by_attempt_first_and_then_by_seq(one: CheckpointId, other: CheckpointId) -> None:
    assert (one.age < other.age) == (
        (one.attempt, one.seq, one.nonce) < (other.attempt, other.seq, other.nonce)
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "LATEST",
        "17-a3-k9x2abqz",
        "00000000017-a0003-k9x2abqz",  # a second spelling
        "0000000017-a00003-k9x2abqz",
        "0000000017-a0003-K9X2ABQZ",
        "0000000017-a0003-k9x2a",
        "0000000017-a0003-k9x2abqz\n",
        "0000000017-a0003-k9x2abqz.json",
        " 0000000017-a0003-k9x2abqz",
        "00000000\u0661\u0667-a0003-k9x2abqz",  # Arabic digits
        "-000000017-a0003-k9x2abqz",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    assert CheckpointId.match(text) is None
    with pytest.raises(InvalidArgumentError, match=r"(?s)not a checkpoint id.*looks like"):
        CheckpointId.parse(text)


def test_new_ids_of_the_same_seq_are_never_the_same() -> None:
    made = {CheckpointId.new(17, 3, SystemClock()) for _ in range(1000)}
    assert len(made) == 1000
    assert {(id.seq, id.attempt) for id in made} == {(17, 3)}


def test_things_stand_where_the_format_says() -> None:
    assert latest_key("b/run") == "b/run/LATEST"
    assert manifest_key("b/home", ID) == f"b/home/manifests/{NAME}.json"
    assert pin_key("b/home", ID) == f"b/home/manifests/{NAME}.pin"
    assert data_folder(ID) == f"data/{NAME}"


@modest
@given(ids)
def test_a_manifest_key_tells_home_and_id(id: CheckpointId) -> None:
    assert split_manifest_key(manifest_key("/data/my home", id)) == ("/data/my home", id)
    assert id.is_named_by(manifest_key("b/home", id))


@pytest.mark.parametrize(
    "key",
    [
        "",
        f"{NAME}.json",
        f"manifests/{NAME}.json",
        f"b/home/manifests/{NAME}",
        f"b/home/manifests/{NAME}.pin",
        f"b/home/manifest/{NAME}.json",
        f"b/home/data/{NAME}.json",
        "b/home/manifests/x.json",
        f"b/home/manifests/x/{NAME}.json",
    ],
)
def test_other_keys_are_no_manifest_keys(key: str) -> None:
    assert split_manifest_key(key) is None
