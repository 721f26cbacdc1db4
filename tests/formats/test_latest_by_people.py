"""LATEST as people, editors and tools leave it, byte for byte, and what becomes of each.

The machine's own LATEST is in `test_pointer`; what a restore makes of an edit in `test_hand_edits`. Here
everything is either obeyed and held, or damaged with a reason that a person can act on, or written by a
newer version.
"""

from __future__ import annotations

import codecs
import json

import pytest

from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.sealed import seal

URL = "s3://b/run/LATEST"
NAME = "0000000017-a0003-k9x2abqz"
PATH = f"vr/home/manifests/{NAME}.json"
OLD = f"vr/home/manifests/{NAME.replace('17-', '16-')}.json"

MACHINE = Pointer(
    target=Target(checkpoint=PATH, step=12000, attempt=3, seq=17),
    fence=3,
    note="as it was",
    history=(Target(checkpoint=OLD, step=11000, attempt=3, seq=16, pinned=True),),
    expired=("gone/manifests/x.json",),
).encode()


def edited(**changes: object) -> bytes:
    return json.dumps({**json.loads(MACHINE), **changes}, indent=2).encode()


def line(**changes: object) -> bytes:
    return json.dumps(changes).encode()


OBEYED: dict[str, tuple[bytes, str]] = {
    # JSON
    "only checkpoint": (line(checkpoint=PATH), PATH),
    "only checkpoint, without blanks": (b'{"checkpoint":"' + PATH.encode() + b'"}', PATH),
    "blanks around the path": (line(checkpoint=f"  {PATH}\n"), PATH),
    "another checkpoint": (edited(checkpoint=OLD), OLD),
    "an id": (edited(checkpoint=NAME), NAME),
    "none": (edited(checkpoint="none"), "none"),
    "a whole URI": (edited(checkpoint=f"s3://b/run/{PATH}"), f"s3://b/run/{PATH}"),
    "a folder": (edited(checkpoint="seeds/llama/"), "seeds/llama/"),
    "only the note": (edited(note="do not touch"), PATH),
    "extra keys": (line(checkpoint=PATH, why="diverged", tags=["a", 1, None, {"b": 1e3}]), PATH),
    "the seal taken off": (edited(checksum=None), PATH),
    "a number that no machine has": (edited(step=10**30), PATH),
    "numbers that are none": (edited(step="12k", attempt=None, seq=-1.5, fence="max", held="no"), PATH),
    "a history that is none": (edited(history="see the wiki", doomed={"x": 1}), PATH),
    "a minor version ahead": (edited(format="ckptptr/1.9", checkpoint=OLD), OLD),
    "CRLF": (edited(checkpoint=OLD).replace(b"\n", b"\r\n"), OLD),
    "blank lines around": (b"\n\n \t" + edited(checkpoint=OLD) + b"\r\n\r\n", OLD),
    "a UTF-8 byte order mark": (codecs.BOM_UTF8 + edited(checkpoint=OLD), OLD),
    "UTF-16 of Windows PowerShell": (edited(checkpoint=OLD).decode().encode("utf-16"), OLD),
    # one line
    "a bare path": (PATH.encode(), PATH),
    "a bare path of `echo`": (PATH.encode() + b"\n", PATH),
    "a bare path of `echo` on Windows": (PATH.encode() + b" \r\n", PATH),
    "a bare path among blank lines": (b"\n\t " + PATH.encode() + b" \n\n", PATH),
    "a quoted path": (f'"{PATH}"'.encode(), PATH),
    "a quoted path with blanks and a newline": (f' " {PATH} " \n'.encode(), PATH),
    "a quoted path with an escape": (rb'"vr\/h\u00f6me"', "vr/höme"),
    "a path in single quotes, by `echo` of cmd.exe": (f"'{PATH}' \r\n".encode(), PATH),
    "a path in typographic quotes": (f"\u201c{PATH}\u201d".encode(), PATH),
    "a path in typographic single quotes": (f"\u2018 {PATH}\u2019\n".encode(), PATH),
    "a lone quote, which can name a folder": (b"'", "'"),
    "a bare id": (NAME.encode(), NAME),
    "a bare manifest name": (f"{NAME}.json".encode(), f"{NAME}.json"),
    "a bare URI": (f"s3://b/run/{PATH}\n".encode(), f"s3://b/run/{PATH}"),
    "a bare none": (b"none\n", "none"),
    "a quoted NONE": (b'"NONE"', "NONE"),
    "a bare folder": (b"seeds/llama 3/\n", "seeds/llama 3/"),
    "a bare path not in ASCII": ("gewichte/größe\n".encode(), "gewichte/größe"),
    "a bare number, which can name a folder": (b"12000\n", "12000"),
    "a bare path after a UTF-8 byte order mark": (codecs.BOM_UTF8 + PATH.encode() + b"\r\n", PATH),
    "a bare path in UTF-16, little end first": (
        codecs.BOM_UTF16_LE + f"{PATH}\r\n".encode("utf-16-le"),
        PATH,
    ),
    "a bare path in UTF-16, big end first": (codecs.BOM_UTF16_BE + PATH.encode("utf-16-be"), PATH),
    "a very long path": (b"x/" * 500_000 + b"y", "x/" * 500_000 + "y"),
}

DAMAGED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "LATEST is empty"),
    "only blanks": (b" \r\n\t\n", "LATEST is empty"),
    "only a byte order mark": (codecs.BOM_UTF8, "LATEST is empty"),
    "an empty string": (b'""', "LATEST is empty"),
    "a string of blanks": (b'"  "\n', "LATEST is empty"),
    "zeros, as after a power cut": (b"\0" * 512, "zero bytes in it"),
    "an image": (b"\x89PNG\r\n\x1a\n\0\0", r"LATEST is not text \(invalid start byte at byte 0\)"),
    "Latin-1": ("{'größe'}".encode("latin-1"), r"not text \(invalid start byte at byte 4\)"),
    "UTF-16 without a mark": (PATH.encode("utf-16-le"), "UTF-16 without a byte order mark"),
    "JSON in UTF-16 without a mark": (
        MACHINE.decode().encode("utf-16-be"),
        "UTF-16 without a byte order mark",
    ),
    "UTF-16 cut in the middle of a character": (
        codecs.BOM_UTF16_LE + PATH.encode("utf-16-le")[:-1],
        "not text",
    ),
    "UTF-32": (PATH.encode("utf-32"), "zero bytes in it"),
    "two lines": (f"{PATH}\n{OLD}\n".encode(), r"one line with a path \(it has 2 lines\)"),
    "a comment above the path": (
        f"{PATH}\n# {OLD}".encode(),
        r"one line with a path \(line 2 is a comment\)",
    ),
    "a bell": (b"x\7", r"one line with a path \(there are control characters in it\)"),
    "empty single quotes": (b"''", "LATEST is empty"),
    "an error page": (b"<html>\n<body>503</body>\n</html>", "neither JSON nor one line with a path"),
    "a merge conflict": (b"<<<<<<< HEAD\n" + MACHINE + b"=======\n", "neither JSON nor one line"),
    "YAML": (f"checkpoint: {PATH}\nstep: 3\n".encode(), "neither JSON nor one line with a path"),
    "a string and a half": (b'"x" "y', "not a quoted string .*trailing characters"),
    "a string without its end": (f'"{PATH}'.encode(), "not a quoted string .*truncated"),
    "cut off": (MACHINE[:200], "not a JSON object .*truncated"),
    "written twice": (MACHINE + MACHINE, "not a JSON object .*trailing characters"),
    "a comma too many": (
        b'{"checkpoint": "x",}',
        r"not a JSON object .line 1 has a trailing comma: nothing follows it",
    ),
    "a comma too many, on a line above the brace": (
        b'{\n"checkpoint": "x",\n\n}',
        "not a JSON object .line 2 has a trailing comma",
    ),
    "a comma too many in the history": (
        MACHINE.replace(b"}\n  ],", b"},\n  ],"),
        "not a JSON object .line 17 has a trailing comma",
    ),
    "a comma too few": (
        b'{"checkpoint": "x" "step": 1}',
        r"not a JSON object .line 1: expected ',' or '}'\)",
    ),
    "single quotes": (
        b"{'checkpoint': 'x'}",
        r"not a JSON object .line 1 has ' where JSON has straight double quotes\)",
    ),
    "single quotes around a value": (
        b"{\n\"checkpoint\": 'x'}",
        "line 2 has ' where JSON has straight double",
    ),
    "typographic quotes": (
        "{\u201ccheckpoint\u201d: 1}".encode(),
        "line 1 has \u201c where JSON has straight double",
    ),
    "no quotes": (b'{checkpoint: "x"}', r"not a JSON object .line 1: object keys must be strings\)"),
    "a line break in the path": (
        b'{\n"checkpoint": "x\ny"}',
        r"not a JSON object .line 2: invalid character\)",
    ),
    "a comment": (b'{\n// mine\n"checkpoint": "x"}', "line 2 has a comment, and JSON has none"),
    "a key commented out": (b'{\n"checkpoint": "x",\n# "step": 3,\n"seq": 1}', "line 3 has a comment"),
    "a comment in a line": ('{"checkpoint": "größe", /* new */ "step": 1}'.encode(), "line 1 has a comment"),
    "a comment after the end": (MACHINE + b"// mine\n", "line 25 has a comment"),
    "a comment before the beginning": (b"# mine\n" + MACHINE, "one line with a path .line 1 is a comment"),
    "an array": (f'["{PATH}"]'.encode(), "not a JSON object .*Expected `object`, got `array`"),
    "a depth that no reader bears": (b'{"checkpoint": ' * 100_000, "not a JSON object .*recursion"),
    "no checkpoint": (line(step=3), 'LATEST has no "checkpoint"'),
    "an empty object": (b"{}", 'LATEST has no "checkpoint"'),
    "checkpoint null": (edited(checkpoint=None), 'LATEST has no "checkpoint"'),
    "checkpoint empty": (edited(checkpoint=""), 'LATEST has no "checkpoint"'),
    "checkpoint blank": (edited(checkpoint=" \n"), 'LATEST has no "checkpoint"'),
    "checkpoint a number": (edited(checkpoint=17), 'LATEST has a "checkpoint" that is not text'),
    "checkpoint an object": (edited(checkpoint={"id": NAME}), 'LATEST has a "checkpoint" that is not text'),
    "Checkpoint with a capital": (line(Checkpoint=PATH), 'LATEST has no "checkpoint"'),
    "checkpoint twice": (b'{"checkpoint": "x", "checkpoint": "y"}', '"checkpoint" is there twice'),
    "a line pasted above the machine's": (
        MACHINE.replace(b"{\n", b'{\n  "checkpoint": "mine",\n', 1),
        '"checkpoint" is there twice',
    ),
    "a line pasted below the machine's": (
        MACHINE.replace(b"\n}", b',\n  "checkpoint": "mine"\n}'),
        '"checkpoint" is there twice',
    ),
    "a foreign format": (edited(format="foo"), r"unknown format 'foo' \(this version reads ckptptr/1\)"),
    "a format without a name": (edited(format="1"), "unknown format '1'"),
    "format a number": (edited(format=1), "unknown format 1"),
    "format null": (edited(format=None), "unknown format None"),
}

NEWER: dict[str, bytes] = {
    "sealed": json.dumps(seal({**json.loads(MACHINE), "format": "ckptptr/2"})).encode(),
    "edited": edited(format="ckptptr/2"),
    "by hand": line(format="ckptptr/2", checkpoint=PATH),
    "without what we know": line(format="ckptptr/2", targets=[PATH]),
    "of other types": line(format="ckptptr/12.1", checkpoint=17, history="elsewhere"),
    "in UTF-16": edited(format="ckptptr/2").decode().encode("utf-16"),
}


@pytest.mark.parametrize(("body", "checkpoint"), OBEYED.values(), ids=OBEYED)
def test_what_a_person_means_is_obeyed_and_held(body: bytes, checkpoint: str) -> None:
    pointer = Pointer.decode(body, URL)
    assert pointer.target == Target(checkpoint=checkpoint)  # of the numbers beside it nothing counts
    assert (pointer.held, pointer.edited, pointer.fence) == (True, True, 0)


@pytest.mark.parametrize(("body", "reason"), DAMAGED.values(), ids=DAMAGED)
def test_what_nobody_can_mean_is_damage_and_says_why(body: bytes, reason: str) -> None:
    with pytest.raises(DamagedError, match=reason) as caught:
        Pointer.decode(body, URL)
    assert caught.value.key == URL
    if "unknown format" not in reason:
        assert "One line with the path or id of a checkpoint, or with `none`, will do" in caught.value.hint


@pytest.mark.parametrize("body", NEWER.values(), ids=NEWER)
def test_what_a_newer_version_wrote_asks_for_an_upgrade_however_it_looks(body: bytes) -> None:
    with pytest.raises(UnsupportedFormatError, match=r"written in format ckptptr/\d+.*Upgrade ckptptr"):
        Pointer.decode(body, URL)


def test_an_edit_of_the_target_keeps_the_note_the_history_and_what_is_doomed() -> None:
    pointer = Pointer.decode(edited(checkpoint="seeds/llama"), URL)
    machine = Pointer.decode(MACHINE, URL)
    assert (pointer.note, pointer.history, pointer.expired) == (
        "as it was",
        machine.history,
        machine.expired,
    )


def test_of_a_history_that_was_edited_the_readable_entries_are_kept() -> None:
    good = {"checkpoint": OLD, "step": 11000}
    broken = [good, "x", None, {"step": 1}, {**good, "seq": "sixteen"}, [good], {**good, "mine": 1}]
    pointer = Pointer.decode(edited(history=broken, doomed=["x", 3, None]), URL)
    assert pointer.history == (Target(checkpoint=OLD, step=11000),) * 2
    assert pointer.expired == ("x",)


def test_a_tool_that_formats_json_anew_is_no_person() -> None:
    for body in (edited(), json.dumps(json.loads(MACHINE), sort_keys=True).encode() + b"\r\n"):
        assert not Pointer.decode(body, URL).edited


def test_a_hold_that_a_machine_wrote_is_no_edit_and_keeps_its_numbers() -> None:
    body = Pointer(target=Target(checkpoint=PATH, step=3), held=True, fence=3, note="use").encode()
    pointer = Pointer.decode(body, URL)
    assert (pointer.held, pointer.edited, pointer.fence, pointer.target.step) == (True, False, 3, 3)
