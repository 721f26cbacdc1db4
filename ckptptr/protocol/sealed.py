"""JSON documents that carry a checksum over themselves.

The checksum is the XXH3-128, in hexadecimal, of the canonical JSON of the document without its
`checksum`: UTF-8, keys sorted at every level, no white space. It tells a document that a machine
wrote from one that a person edited or a disk damaged; it is no signature.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import xxhash

from ckptptr.errors import DamagedError, UnsupportedFormatError
from ckptptr.version import __version__

FORMAT = "ckptptr/1"
_MAJOR, _MINOR = 1, 0
_FORMAT = re.compile(r"ckptptr/([0-9]{1,9})(?:\.([0-9]{1,9}))?")

Document = dict[str, Any]


def seal(document: Document) -> Document:
    """`document` as it will be read back, `checksum` last."""
    plain: Document = msgspec.json.decode(msgspec.json.encode(document))
    plain.pop("checksum", None)
    return {**plain, "checksum": _checksum(plain)}


def is_intact(document: Document) -> bool:
    """Whether the checksum is there and right."""
    return document.get("checksum") == _checksum({k: v for k, v in document.items() if k != "checksum"})


def unseal(body: bytes, what: str, url: str) -> Document:
    """The document that `seal` made; `what` it is, for messages.

    Raises:
        DamagedError: it is not what was written.
        UnsupportedFormatError: a newer version wrote it.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DamagedError(f"{what} is not JSON ({error})", key=url) from None
    if not isinstance(document, dict):
        raise DamagedError(f"{what} is not a JSON object", key=url)
    check_format(document, url)
    if not is_intact(document):
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


def _checksum(document: Document) -> str:
    return xxhash.xxh3_128_hexdigest(msgspec.json.encode(document, order="sorted"))
