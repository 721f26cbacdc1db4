from __future__ import annotations

import json
from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.protocol.sealed import check_format, is_intact, seal
from tests.formats.strategies import json_values, modest, texts

documents = st.dictionaries(texts, json_values, max_size=5)


def shuffled(value: Any, random: Any) -> Any:
    """The same JSON with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = [*value]
        random.shuffle(keys)
        return {key: shuffled(value[key], random) for key in keys}
    return [shuffled(item, random) for item in value] if isinstance(value, list) else value


@modest
@given(documents, st.randoms(use_true_random=False), st.sampled_from([None, 1, 4, "\t"]))
def test_neither_the_order_of_keys_nor_white_space_breaks_the_seal(
    document: dict[str, Any], random: Any, indent: int | str | None
) -> None:
    sealed = seal(document)
    text = json.dumps(shuffled(sealed, random), indent=indent)
    assert is_intact(json.loads(text))


@modest
@given(documents, texts, json_values)
def test_any_other_value_breaks_the_seal(document: dict[str, Any], key: str, value: Any) -> None:
    sealed = seal(document)
    edited = {**sealed, key: value}
    is_same = json.dumps(edited, sort_keys=True) == json.dumps(sealed, sort_keys=True)
    assert is_intact(edited) == is_same


def test_the_seal_is_the_digest_of_the_canonical_json() -> None:
    document = {"step": 12000, "checkpoint": "ü/x.json", "nested": {"b": [1.5, None, True], "a": ""}}
    canonical = '{"checkpoint":"ü/x.json","nested":{"a":"","b":[1.5,null,true]},"step":12000}'
    assert seal(document)["checksum"] == xxhash.xxh3_128_hexdigest(canonical.encode())
    assert seal(document)["checksum"] == "4b6e251824804cd13bfa8f9791c33014"


def test_sealing_again_gives_the_same_seal_and_puts_it_last() -> None:
    once = seal({"a": 1, "checksum": "old", "b": 2})
    assert [*once] == ["a", "b", "checksum"]
    assert seal(once) == once


def test_a_document_without_a_seal_is_not_intact() -> None:
    assert not is_intact({})
    assert not is_intact({"a": 1, "checksum": None})


@pytest.mark.parametrize("format", ["ckptptr/1", "ckptptr/1.7"])
def test_this_major_version_is_read(format: str) -> None:
    check_format({"format": format}, "LATEST")
    check_format({}, "LATEST")


@pytest.mark.parametrize("format", ["ckptptr/2", "ckptptr/2.0", "ckptptr/10"])
def test_a_newer_major_version_asks_for_an_upgrade(format: str) -> None:
    with pytest.raises(UnsupportedFormatError, match=rf"{format}.*: b/LATEST\. Upgrade ckptptr"):
        check_format({"format": format}, "b/LATEST")


@pytest.mark.parametrize("format", ["", "foo", "ckptptr", "ckptptr/", "ckptptr/x", "xckptptr/1", 1, None, []])
def test_what_no_version_writes_is_damage(format: object) -> None:
    with pytest.raises(DamagedError, match="unknown format"):
        check_format({"format": format}, "b/LATEST")
