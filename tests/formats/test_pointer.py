from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.sealed import seal
from tests.formats.strategies import modest, pointers

URL = "s3://b/run/LATEST"

POINTER = Pointer(
    target=Target(
        checkpoint="vr/axq2-n0-3/_flytecheckpoints/manifests/0000000017-a0003-k9x2abqz.json",
        step=12000,
        attempt=3,
        seq=17,
        published_at="2026-11-23T15:20:05Z",
        bytes=456,
    ),
    fence=3,
    incarnation="k3x9",
    published_by="pod-name/7/abc123",
    write_id="01k4x",
    history=(
        Target(
            checkpoint="vr/axq2-n0-3/_flytecheckpoints/manifests/0000000016-a0003-p0q1rstu.json",
            step=11000,
            attempt=3,
            seq=16,
            published_at="2026-11-23T15:10:05Z",
            bytes=123,
            pinned=True,
            score=0.25,
        ),
        Target(checkpoint="seeds/llama"),
    ),
    expired=("ab/axq2-n0-2/_flytecheckpoints/manifests/0000000009-a0002-zzzzzzzz.json",),
)

TEXT = """\
{
  "checkpoint": "vr/axq2-n0-3/_flytecheckpoints/manifests/0000000017-a0003-k9x2abqz.json",
  "step": 12000,
  "attempt": 3,
  "seq": 17,
  "bytes": 456,
  "pinned": false,
  "score": null,
  "fence": 3,
  "incarnation": "k3x9",
  "held": false,
  "note": "",
  "published_at": "2026-11-23T15:20:05Z",
  "published_by": "pod-name/7/abc123",
  "write_id": "01k4x",
  "history": [
    {"checkpoint":"vr/axq2-n0-3/_flytecheckpoints/manifests/0000000016-a0003-p0q1rstu.json","step":11000,"attempt":3,"seq":16,"published_at":"2026-11-23T15:10:05Z","bytes":123,"pinned":true,"score":0.25},
    {"checkpoint":"seeds/llama","step":null,"attempt":0,"seq":0,"published_at":"","bytes":0,"pinned":false,"score":null}
  ],
  "doomed": [
    "ab/axq2-n0-2/_flytecheckpoints/manifests/0000000009-a0002-zzzzzzzz.json"
  ],
  "format": "ckptptr/1",
  "checksum": "095c8733dcbce7c61938d21a363354b0"
}
"""


def test_latest_is_one_key_a_line_and_one_history_entry_a_line() -> None:
    assert POINTER.encode().decode() == TEXT
    assert Pointer.decode(TEXT.encode(), URL) == POINTER


def test_empty_lists_take_one_line() -> None:
    lines = msgspec.structs.replace(POINTER, history=(), expired=()).encode().decode().splitlines()
    assert '  "history": [],' in lines
    assert '  "doomed": [],' in lines


@modest
@given(pointers)
def test_latest_is_read_back_as_it_was_written(pointer: Pointer) -> None:
    assert Pointer.decode(pointer.encode(), URL) == pointer


@modest
@given(pointers)
def test_latest_stays_what_a_machine_wrote_when_a_tool_only_formats_it_anew(pointer: Pointer) -> None:
    formatted = json.dumps(json.loads(pointer.encode()), indent=8, sort_keys=True)
    assert Pointer.decode(formatted.encode(), URL) == pointer


@modest
@given(pointers)
def test_everything_edited_is_held_and_keeps_its_history(pointer: Pointer) -> None:
    document = {**json.loads(pointer.encode()), "checkpoint": "by/hand"}
    edited = Pointer.decode(json.dumps(document).encode(), URL)
    assert (edited.edited, edited.held, edited.fence) == (True, True, 0)
    assert edited.target == Target(checkpoint="by/hand")
    assert (edited.history, edited.expired, edited.note) == (pointer.history, pointer.expired, pointer.note)


def one_character_off(text: str) -> dict[str, str]:
    """Every way to remove, insert or replace one character, by some that could matter."""
    edits = {}
    for place, character in enumerate(text):
        edits[f"without {place}"] = text[:place] + text[place + 1 :]
        for other in {*'1 "\\,:[]{}x\n/é', chr(ord(character) ^ 1)}:
            edits[f"{place} becomes {other!r}"] = text[:place] + other + text[place + 1 :]
            edits[f"{other!r} before {place}"] = text[:place] + other + text[place:]
    return edits


def meaning(text: str) -> object:
    try:
        return json.loads(text.strip())
    except ValueError:
        return None


def test_an_edit_of_one_character_is_never_taken_for_what_a_machine_wrote() -> None:
    for edit, text in one_character_off(TEXT).items():
        try:
            pointer = Pointer.decode(text.encode(), URL)
        except (DamagedError, UnsupportedFormatError):
            continue
        assert (pointer.edited and pointer.held) or meaning(text) == meaning(TEXT), edit


@modest
@given(pointers, st.data())
def test_any_cut_of_latest_is_damage(pointer: Pointer, data: st.DataObject) -> None:
    body = pointer.encode()
    end = data.draw(st.integers(0, len(body) - 3))  # without the closing brace
    with pytest.raises(DamagedError, match=r"LATEST is (empty|not a JSON object|not text)"):
        Pointer.decode(body[:end], URL)


@modest
@given(st.binary() | st.text().map(str.encode))
def test_whatever_the_bytes_latest_is_obeyed_or_damaged(body: bytes) -> None:
    try:
        pointer = Pointer.decode(body, URL)
    except DamagedError:
        return
    assert pointer.edited
    assert pointer.held
    assert pointer.target.checkpoint == pointer.target.checkpoint.strip() != ""


@pytest.mark.parametrize(
    "wrong", [{"step": "12000"}, {"held": "yes"}, {"history": "none"}, {"history": [1]}, {"seq": None}]
)
def test_a_sealed_latest_of_wrong_types_is_damage(wrong: dict[str, object]) -> None:
    body = json.dumps(seal({**json.loads(TEXT), **wrong})).encode()
    with pytest.raises(DamagedError, match=f"not as this version writes it.*{next(iter(wrong))}"):
        Pointer.decode(body, URL)


def test_a_minor_version_may_say_more_than_this_one_reads() -> None:
    body = json.dumps(seal({**json.loads(TEXT), "format": "ckptptr/1.4", "mood": "fine"})).encode()
    more = msgspec.structs.replace(POINTER, format="ckptptr/1.4", unknown={"mood": "fine"})
    assert Pointer.decode(body, URL) == more


def test_what_a_minor_version_says_of_the_target_that_is_no_object_is_damage() -> None:
    body = json.dumps(seal({**json.loads(TEXT), "format": "ckptptr/1.4", "target": "fine"})).encode()
    with pytest.raises(DamagedError, match=r"not as this version writes it.*target"):
        Pointer.decode(body, URL)


def test_an_edit_keeps_unknown_keys_only_of_what_a_newer_version_wrote() -> None:
    edited = {**json.loads(TEXT), "checkpoint": "by/hand", "helt": True, "target": {"mood": "fine"}}
    entry = {**edited["history"][0], "unknown": "typed"}
    slip = Pointer.decode(json.dumps({**edited, "history": [entry]}).encode(), URL)
    assert (slip.unknown, slip.format, slip.history) == ({}, "ckptptr/1", POINTER.history[:1])
    newer = Pointer.decode(json.dumps({**edited, "history": [entry], "format": "ckptptr/1.4"}).encode(), URL)
    assert (newer.unknown, newer.format) == ({"helt": True}, "ckptptr/1.4")
    assert [target.unknown for target in (newer.target, *newer.history)] == [{}, {"unknown": "typed"}]


def test_a_fresh_start_is_a_target_but_no_checkpoint() -> None:
    entry = Target(checkpoint="x", seq=4)
    fresh = Pointer(target=Target(checkpoint=" None ", seq=9), history=(entry,))
    assert fresh.target.is_fresh
    assert fresh.retained == (entry,)
    assert fresh.highest_seq == 4
    assert Pointer(target=Target(checkpoint="none")).highest_seq == 0


def test_find_looks_at_the_target_and_the_history() -> None:
    assert POINTER.find(POINTER.target.checkpoint) is POINTER.target
    assert POINTER.find("seeds/llama") is POINTER.history[1]
    assert POINTER.find("seeds") is None
