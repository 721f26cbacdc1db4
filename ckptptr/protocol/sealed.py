"""JSON documents that carry a checksum over themselves.

The checksum is the XXH3-128, in hexadecimal, of the canonical JSON of the document without its
`checksum`: UTF-8, keys sorted at every level, no white space. It tells a document that a machine
wrote from one that a person edited or a disk damaged; it is no signature.

A manifest of a million files is such a document. Its *rows*, the items of one long list, are plain objects
only a thousand at a time: plain objects take five times the memory of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from typing import Any, NamedTuple

import msgspec
import xxhash

from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.version import __version__

FORMAT = "ckptptr/1"
_MAJOR, _MINOR = 1, 0
_FORMAT = re.compile(r"ckptptr/([0-9]{1,9})(?:\.([0-9]{1,9}))?")

Document = dict[str, Any]

_AT_ONCE = 1000
# Made once: two threads must not make msgspec work out a type at the same time.
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


class Rows(NamedTuple):
    """The key of a list that may be very long, and the type of such a list."""

    key: str
    type: Any


def seal(document: Document) -> Document:
    """`document` as it will be read back, `checksum` last."""
    plain: Document = msgspec.json.decode(msgspec.json.encode(document))
    plain.pop("checksum", None)
    return {**plain, "checksum": _checksum(plain)}


def is_intact(document: Document) -> bool:
    """Whether the checksum is there and right."""
    return document.get("checksum") == _checksum(document)


def encode(record: msgspec.Struct, rows: Rows) -> bytes:
    """The bytes to store: `record` sealed, as indented JSON.

    Raises:
        TypeError, ValueError, RecursionError: JSON cannot say it, or would not give it back.
    """
    items: Sequence[Any] = getattr(record, rows.key, ())
    if items:
        record = msgspec.structs.replace(record, **{rows.key: ()})
    document = seal(msgspec.to_builtins(record))
    msgspec.convert(document, type(record))
    if items:
        document["checksum"] = _checksum(document, rows.key, map(_canonical, _batches(items)))
    text = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
    return _with_rows(text, items, rows) if items else text


def unseal(body: bytes, what: str, url: str, rows: Rows | None = None) -> Document:
    """The document that `seal` or `encode` made; `what` it is, for messages.

    Args:
        rows: the items of this list are of its type, unless a thousand of them are not.

    Raises:
        DamagedError: it is not what was written.
        UnsupportedFormatError: a newer version wrote it.
    """
    try:
        try:
            values = _OBJECT.decode(body)
        except msgspec.ValidationError:
            msgspec.json.decode(body)  # it may be no JSON either
            raise DamagedError(f"{what} is not a JSON object", key=url) from None
        long = None
        if rows and rows.key in values and bytes(memoryview(values[rows.key])[:1]) == b"[":
            long = values.pop(rows.key)
        document: Document = {key: msgspec.json.decode(value) for key, value in values.items()}
        check_format(document, url)
        if rows and long is not None:
            found: list[Any] = []
            document[rows.key] = found
            checksum = _checksum(document, rows.key, _read(_LIST.decode(long), rows, found))
        else:
            checksum = _checksum(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(f"{what} is not JSON ({error})", key=url) from None
    if document.get("checksum") != checksum:
        raise DamagedError(f"{what} does not have the checksum it was written with", key=url)
    return document


def check_format(document: Document, key: str) -> None:
    """Refuse what a newer version wrote.

    Raises:
        UnsupportedFormatError: a newer major version.
        DamagedError: a `format` that is not ours.
    """
    declared = document.get("format", FORMAT)
    found = _FORMAT.fullmatch(declared) if isinstance(declared, str) else None
    if found is None:
        raise DamagedError(f"unknown format {repr(declared)[:40]} (this version reads {FORMAT})", key=key)
    if int(found[1]) > _MAJOR:
        raise UnsupportedFormatError(
            f"written in format {declared}, this version reads {FORMAT}",
            key=key,
            hint=f"Upgrade ckptptr, this is {__version__}; nothing was changed",
        )


def is_newer_minor(declared: object) -> bool:
    """Whether a format, which `check_format` has accepted, may have keys that this version does not know."""
    found = _FORMAT.fullmatch(declared) if isinstance(declared, str) else None
    return found is not None and int(found[2] or 0) > _MINOR


def _checksum(document: Document, rows: str | None = None, batches: Iterable[bytes] = ()) -> str:
    """Of `document`, whose list `rows` consists of `batches`, in canonical JSON without brackets."""
    digest = xxhash.xxh3_128(b"{")
    for number, key in enumerate(sorted(document.keys() - {"checksum"})):
        digest.update(b"," * (number > 0) + msgspec.json.encode(key) + b":")
        if key != rows:
            digest.update(msgspec.json.encode(document[key], order="sorted"))
            continue
        digest.update(b"[")
        for place, batch in enumerate(batches):
            digest.update(b"," * (place > 0) + batch)
        digest.update(b"]")
    digest.update(b"}")
    return digest.hexdigest()


def _read(texts: list[msgspec.Raw], rows: Rows, found: list[Any]) -> Iterator[bytes]:
    """The batches of a list that was read; its items are added to `found`."""
    for batch in _batches(texts):
        plain = msgspec.json.decode(b"[" + b",".join(batch) + b"]")
        try:
            found += msgspec.convert(plain, rows.type)
        except msgspec.ValidationError:
            found += plain  # the caller finds out what is wrong with one of them
        yield _canonical(plain)


def _with_rows(text: bytes, items: Sequence[Any], rows: Rows) -> bytes:
    """Indented JSON, with items in its list `rows`, which is empty."""
    # There is one such place: a line break in a string is escaped, and a key further down is indented more.
    before, empty, after = text.partition(b'\n "%b": []' % rows.key.encode())
    whole = BytesIO()
    whole.write(before + empty[:-1])
    for place, batch in enumerate(_batches(items)):
        encoded = msgspec.json.encode(batch)
        msgspec.json.decode(encoded, type=rows.type)
        indented = msgspec.json.format(b"[%b]" % encoded, indent=1)
        whole.write(b"," * (place > 0) + indented[len(b"[\n [") : -len(b"\n ]\n]")])
    whole.write(b"\n ]" + after)
    return whole.getvalue()  # BytesIO makes no copy of it


def _canonical(batch: Sequence[Any]) -> bytes:
    return msgspec.json.encode(batch, order="sorted")[1:-1]


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))
