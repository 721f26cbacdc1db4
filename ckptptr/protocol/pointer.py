"""LATEST: the one object that is ever overwritten, made to be read and edited by people.

Three things can be found under that name:

- what a machine wrote: the checksum is right;
- what a person wrote: it parses, and the checksum is absent or wrong. It is obeyed and *held*: no
  process moves it until a restore has adopted it. Only `checkpoint` is required; a file with just
  that one string, bare or quoted, will do;
- damage: it does not parse. Nothing in it counts, and its bytes are kept before it is overwritten.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Annotated, Any

import msgspec

from ckptptr.errors import DamagedError
from ckptptr.protocol import sealed
from ckptptr.protocol.names import NUMBER_LIMIT, Number
from ckptptr.protocol.references import FRESH

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_OTHER_QUOTES = ("''", "\u2018\u2019", "\u201c\u201d")
"""What a shell of Windows leaves around a word, and what word processors make of quotes."""
_NO_QUOTES = frozenset("'`\u2018\u2019\u201c\u201d\u201e\u00ab")
_PLACE = re.compile(r"\(byte (\d+)\)")


LIMIT = 16 * 1024 * 1024
"""The largest LATEST, in bytes: what this version writes has a few hundred KiB at most, but for pins."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as LATEST names it: what it points to, or an entry of its history.

    `checkpoint` is a reference; `bytes` the size of the payload; `score` the value by which a
    retention that keeps the best ones ranks it. `unknown`: what newer minor versions say of it.
    """

    checkpoint: str
    step: int | None = None
    attempt: Number = 0
    seq: Number = 0
    published_at: str = ""
    bytes: Number = 0
    pinned: bool = False
    score: float | None = None
    unknown: dict[str, Any] = {}

    @property
    def is_fresh(self) -> bool:
        """Whether this says "start from nothing" instead of naming a checkpoint."""
        return self.checkpoint.strip().lower() == FRESH


class Pointer(msgspec.Struct, frozen=True, kw_only=True, rename={"expired": "doomed"}):
    """What LATEST says.

    `fence` is the highest attempt that ever published or adopted here, or of which a person named a
    checkpoint. `incarnation` says which incarnation of that attempt (see `Fence`), and `predecessors` which
    others had the node before it. `held`: a person chose the target and no run has
    adopted it. `history`: what else is retained, newest publish first. `expired`: what retention released
    and a sweep may delete; the key in LATEST is `doomed`. `edited`: by hand, see the module.
    `moved_at`, `moved_by`, `moved_with`: when its target, its hold or its note changed last, and by what
    (`save`, `use`); empty where an older version wrote it. For people, but for `moved_with`, see
    `Seen.may_be_unpublished`.
    `format`, `unknown`: that of the newest minor version that ever wrote it, and the keys that it has beyond
    ours. Every write keeps them (see `Latest`); those of the target are in `target`, and go where it goes.
    """

    target: Target
    fence: Annotated[int, msgspec.Meta(ge=-1, lt=NUMBER_LIMIT)] = 0
    incarnation: str = ""
    predecessors: tuple[str, ...] = ()
    held: bool = False
    note: str = ""
    published_by: str = ""
    moved_at: str = ""
    moved_by: str = ""
    moved_with: str = ""
    write_id: str = ""
    history: tuple[Target, ...] = ()
    expired: tuple[str, ...] = ()
    edited: bool = False
    format: str = sealed.FORMAT
    unknown: dict[str, Any] = {}

    @property
    def retained(self) -> tuple[Target, ...]:
        """Every checkpoint that is named: the target, unless it is a fresh start, and the history."""
        return self.history if self.target.is_fresh else (self.target, *self.history)

    @property
    def highest_seq(self) -> int:
        return max((target.seq for target in self.retained), default=0)

    def find(self, checkpoint: str) -> Target | None:
        """The target or history entry with that reference."""
        return next((target for target in self.retained if target.checkpoint == checkpoint), None)

    def encode(self) -> bytes:
        """The bytes to store: sealed, fixed key order, one key a line, one history entry a line."""
        target = _as_entry(self.target)
        document = sealed.seal(
            {
                "checkpoint": target["checkpoint"],
                "step": target["step"],
                "attempt": target["attempt"],
                "seq": target["seq"],
                "bytes": target["bytes"],
                "pinned": target["pinned"],
                "score": target["score"],
                "fence": self.fence,
                "incarnation": self.incarnation,
                **({"predecessors": list(self.predecessors)} if self.predecessors else {}),
                "held": self.held,
                "note": self.note,
                "published_at": target["published_at"],
                "published_by": self.published_by,
                **self._moved(),
                "write_id": self.write_id,
                "history": [_as_entry(entry) for entry in self.history],
                "doomed": list(self.expired),
                **({"target": self.target.unknown} if self.target.unknown else {}),
                **self.unknown,
                "format": self.format,
            }
        )
        return "".join(_lines(document)).encode()

    def _moved(self) -> dict[str, str]:
        """When, by whom and by what; no keys where it is not known."""
        if not self.moved_at:
            return {}
        return {"moved_at": self.moved_at, "moved_by": self.moved_by, "moved_with": self.moved_with}

    @classmethod
    def decode(cls, body: bytes, url: str) -> Pointer:
        """Read LATEST, as a machine or a person wrote it.

        Raises:
            DamagedError: it does not parse; the message says exactly what is wrong.
            UnsupportedFormatError: a newer version wrote it.
        """
        if len(body) > LIMIT:
            raise _damaged(f"LATEST has more than {LIMIT >> 20} MiB", url)
        text = _text(body, url)
        if not text.startswith(("{", "[")):
            return cls(target=Target(checkpoint=_bare(text, url)), held=True, edited=True)
        document = _parse(text, url)
        sealed.check_format(document, url)
        checkpoint = document.get("checkpoint")
        if not isinstance(checkpoint, str | None):
            raise _damaged('LATEST has a "checkpoint" that is not text', url)
        if not checkpoint or not checkpoint.strip():
            raise _damaged('LATEST has no "checkpoint"', url)
        if not sealed.is_intact(document):
            return _edited(document, checkpoint.strip())
        try:
            return msgspec.convert(_by_level(document), cls)
        except msgspec.ValidationError as error:
            raise DamagedError(f"LATEST is not as this version writes it ({error})", key=url) from None


msgspec.json.Decoder(Pointer)  # why: see manifest.py

_OF_TARGET = frozenset(Target.__struct_encode_fields__) - {"unknown"}
_OF_POINTER = frozenset(Pointer.__struct_encode_fields__) - {"target", "edited", "unknown"}
_KNOWN = _OF_TARGET | _OF_POINTER | {"target", "checksum"}


def _as_entry(target: Target) -> dict[str, Any]:
    """A checkpoint as the history lists it."""
    known: dict[str, Any] = msgspec.to_builtins(target)
    unknown = known.pop("unknown")
    return {**known, **unknown}


def _as_target(entry: object) -> object:
    """An entry of the history, with the keys that we do not know apart."""
    if not isinstance(entry, dict):
        return entry
    return {**_known(entry, _OF_TARGET), "unknown": _unknown(entry, _OF_TARGET)}


def _by_level(document: sealed.Document) -> sealed.Document:
    """What LATEST says of itself, with the target, whose keys are beside its own, apart."""
    more, history = document.get("target", {}), document.get("history", [])
    target = {**more, **_known(document, _OF_TARGET)} if isinstance(more, dict) else more
    return {
        **_known(document, _OF_POINTER),
        "target": _as_target(target),
        "history": [*map(_as_target, history)] if isinstance(history, list) else history,
        "unknown": _unknown(document, _KNOWN),
    }


def _known(document: sealed.Document, names: Collection[str]) -> sealed.Document:
    return {key: value for key, value in document.items() if key in names}


def _unknown(document: sealed.Document, names: Collection[str]) -> sealed.Document:
    return {key: value for key, value in document.items() if key not in names}


def _edited(document: sealed.Document, checkpoint: str) -> Pointer:
    """What a person means: the target as named, and of the rest what is still readable.

    The numbers beside `checkpoint` describe what stood there before, so they do not count, and
    neither does `fence`. A key that we do not know is a slip, unless a newer version wrote what was edited.
    """
    is_newer = sealed.is_newer_minor(document.get("format"))
    listed = document.get("doomed")
    note = document.get("note")
    return Pointer(
        target=Target(checkpoint=checkpoint),
        held=True,
        edited=True,
        note=note if isinstance(note, str) else "",
        history=tuple(_readable(document.get("history"), keep_unknown=is_newer)),
        expired=tuple(name for name in listed if isinstance(name, str)) if isinstance(listed, list) else (),
        format=document["format"] if is_newer else sealed.FORMAT,
        unknown=_unknown(document, _KNOWN) if is_newer else {},
    )


def _readable(history: object, *, keep_unknown: bool) -> Iterator[Target]:
    for entry in history if isinstance(history, list) else ():
        try:
            target = msgspec.convert(_as_target(entry), Target)
        except msgspec.ValidationError:
            continue
        yield target if keep_unknown else msgspec.structs.replace(target, unknown={})


def _text(body: bytes, url: str) -> str:
    for bom, encoding in _BOMS:
        if body.startswith(bom):
            body, codec = body[len(bom) :], encoding
            break
    else:
        codec = "utf-8"
    try:
        text = body.decode(codec).strip()
    except UnicodeDecodeError as error:
        raise _damaged(f"LATEST is not text ({error.reason} at byte {error.start})", url) from None
    if "\0" in text:
        raise _damaged("LATEST has zero bytes in it: not text, or UTF-16 without a byte order mark", url)
    if not text:
        raise _damaged("LATEST is empty", url)
    return text


def _bare(text: str, url: str) -> str:
    if text.startswith('"'):
        try:
            text = msgspec.json.decode(text.encode(), type=str).strip()
        except msgspec.MsgspecError as error:
            raise _damaged(f"LATEST is not a quoted string ({error})", url) from None
    elif len(text) > 1 and text[0] + text[-1] in _OTHER_QUOTES:
        text = text[1:-1].strip()
    if not text:
        raise _damaged("LATEST is empty", url)
    if not text.isprintable():
        lines = text.splitlines()
        why = f"it has {len(lines)} lines" if len(lines) > 1 else "there are control characters in it"
        comment = next((n for n, line in enumerate(lines, start=1) if _is_comment(line)), None)
        if comment is not None:
            why = f"line {comment} is a comment"
        raise _damaged(f"LATEST is neither JSON nor one line with a path ({why})", url)
    return text


def _parse(text: str, url: str) -> sealed.Document:
    try:
        document = msgspec.json.decode(text.encode(), type=sealed.Document)
        json.loads(text, object_pairs_hook=_refuse_twins, parse_int=str)
    except (msgspec.DecodeError, RecursionError, _TwinsError) as error:
        raise _damaged(f"LATEST is not a JSON object ({_what_a_person_did(text, str(error))})", url) from None
    return document


def _what_a_person_did(text: str, said: str) -> str:
    """What the parser says, for the person who edited the file: which line, and the usual slips."""
    at = _PLACE.search(said)
    if at is None:
        return said
    byte = int(at[1]) - ("trailing characters" in said)  # which counts the first of them
    place = len(text.encode()[:byte].decode(errors="ignore"))
    line = text.count("\n", 0, place) + 1
    rest, before = text[place:], text[:place].rstrip()
    if _is_comment(rest):
        return f"line {line} has a comment, and JSON has none"
    if rest[:1] and rest[0] in _NO_QUOTES:
        return f"line {line} has {rest[0]} where JSON has straight double quotes"
    if before.endswith(",") and rest[:1] in {"}", "]"}:
        return f"line {before.count(chr(10)) + 1} has a trailing comma: nothing follows it"
    return f"line {line}: {said[: at.start()].removeprefix('JSON is malformed: ').rstrip()}"


def _is_comment(text: str) -> bool:
    return text.lstrip().startswith(("//", "#", "/*"))


def _damaged(what: str, url: str) -> DamagedError:
    return DamagedError(
        what, key=url, hint="One line with the path or id of a checkpoint, or with `none`, will do"
    )


class _TwinsError(Exception):
    """A key that is there twice."""


def _refuse_twins(pairs: list[tuple[str, object]]) -> None:
    """A line pasted above the machine's own: the last of the two would win, unnoticed."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _TwinsError(f'"{key}" is there twice')
        seen.add(key)


def _lines(document: sealed.Document) -> Iterable[str]:
    yield "{\n"
    last = len(document) - 1
    for place, (key, value) in enumerate(document.items()):
        comma = "" if place == last else ","
        if isinstance(value, list) and value:
            items = ",\n    ".join(_json(item) for item in value)
            yield f"  {_json(key)}: [\n    {items}\n  ]{comma}\n"
        else:
            yield f"  {_json(key)}: {_json(value)}{comma}\n"
    yield "}\n"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
