"""Manifests of many files: the same bytes, in bounded time and memory."""

from __future__ import annotations

import json

import msgspec
import pytest
import xxhash

from ckptptr.errors import DamagedError, InvalidArgumentError
from ckptptr.protocol import sealed
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.parts import Part
from tests.memory import peak

ID = CheckpointId.parse("0000000001-a0000-abcdefgh")
URL = "s3://b/home/manifests/x.json"


def manifest(count: int, **changes: object) -> Manifest:
    files = tuple(
        FileRecord(
            path := f"shard-{number // 1000}/item-{number % 1000}",
            f"data/{ID}/{path}",
            100,
            xxhash.xxh3_128_hexdigest(path.encode()),
            None,
            1_795_000_000_000_000_000 + number,
        )
        for number in range(count)
    )
    fields = {"step": 1, "created_at": "", "created_by": "", "files": files, "total_bytes": 100 * count}
    return Manifest(**{"id": str(ID), "attempt": 0, "seq": 1, **fields, **changes})


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_the_bytes_are_those_of_a_document_that_is_sealed_as_a_whole(count: int) -> None:
    of_many = manifest(count, metadata={"files": [], "\n": '\n "files": []'})
    document = sealed.seal(msgspec.to_builtins(of_many))
    assert of_many.encode() == msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    assert Manifest.decode(of_many.encode(), ID, URL).files == of_many.files


def test_the_record_of_a_part_is_such_a_document_too() -> None:
    part = Part(rank=1, files=manifest(1500).files)
    document = sealed.seal(msgspec.to_builtins(part))
    assert part.encode() == msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    assert Part.decode(part.encode(), URL).files == part.files


@pytest.mark.parametrize("number", [0, 1499])
def test_what_a_newer_minor_says_of_a_file_is_under_the_seal(number: int) -> None:
    document = json.loads(manifest(1500).encode())
    document["files"][number]["mood"] = "fine"
    with pytest.raises(DamagedError, match="does not have the checksum"):
        Manifest.decode(json.dumps(document).encode(), ID, URL)
    newer = json.dumps(sealed.seal(document)).encode()
    assert Manifest.decode(newer, ID, URL).files == manifest(1500).files


def test_one_bad_record_among_many_is_named() -> None:
    document = json.loads(manifest(1500).encode())
    document["files"][1234]["size"] = "large"
    with pytest.raises(DamagedError, match=r"incomplete .*files\[1234\]\.size"):
        Manifest.decode(json.dumps(sealed.seal(document)).encode(), ID, URL)


def test_a_record_that_would_not_be_read_back_is_refused() -> None:
    good = manifest(1500)
    bad = msgspec.structs.replace(good.files[1200], mtime_ns=1.5)
    with pytest.raises(InvalidArgumentError, match="mtime_ns"):
        msgspec.structs.replace(good, files=(*good.files[:1200], bad)).encode()


@pytest.mark.slow
def test_neither_to_write_nor_to_read_a_manifest_takes_much_more_than_its_text_and_records() -> None:
    def needed(count: int) -> tuple[int, int]:
        of_many = manifest(count)
        body = of_many.encode()
        return peak(of_many.encode), peak(lambda: Manifest.decode(body, ID, URL))

    few, many = needed(5_000), needed(20_000)
    writing, reading = ((b - a) / 15_000 for a, b in zip(few, many, strict=True))
    text = len(manifest(20_000).encode()) / 20_000
    assert text == pytest.approx(207, abs=1)  # bytes for each file
    assert writing < 1.5 * text  # 4.7 with plain objects of all files
    assert reading < 2.8 * text  # the records, which stay, have 2.1; 3.6 with them
