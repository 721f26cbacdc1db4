"""What hypothesis draws ids, pointers and manifests from: everything that the formats allow."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from ckptptr.protocol.blocks import Blocks
from ckptptr.protocol.manifest import FileRecord, Lineage, Manifest, folders_above
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.protocol.sealed import FORMAT

modest = settings(max_examples=min(50, settings().max_examples))
"""Enough for formats that are this small."""

KNOWN = {
    *("checkpoint", "step", "attempt", "seq", "bytes", "pinned", "score", "published_at"),
    *("fence", "incarnation", "predecessors", "held", "note", "published_by", "moved_at", "moved_by"),
    *("moved_with", "write_id", "history", "doomed", "target", "format", "checksum"),
}
"""The keys of PROTOCOL.md, section 4.3."""

counts = st.integers(0, 2**53)
digests = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
scores = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)

ids = st.builds(
    CheckpointId,
    seq=st.integers(0, 10**12),
    attempt=st.integers(0, 10**5),
    nonce=st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=6, max_size=10),
)

_segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=8
).filter(lambda segment: segment not in {".", ".."})
paths = st.lists(_segments, min_size=1, max_size=4).map("/".join)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
unknown_keys = st.dictionaries(texts.filter(lambda key: key not in KNOWN), json_values, max_size=3)
"""What a later minor version may add to LATEST, to its target or to an entry of its history."""

references = st.builds(
    lambda home, id: f"{home}/manifests/{id}.json", st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), ids
)


def _targets(unknown: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Target]:
    return st.builds(
        Target,
        checkpoint=references,
        step=st.none() | counts,
        attempt=counts,
        seq=counts,
        published_at=texts,
        bytes=counts,
        pinned=st.booleans(),
        score=scores,
        unknown=unknown,
    )


def _pointers(format: str, unknown: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Pointer]:
    return st.builds(
        Pointer,
        target=_targets(unknown),
        fence=st.integers(-1, 1000),
        incarnation=st.text(max_size=8),
        predecessors=st.lists(st.text(max_size=8), max_size=3).map(tuple),
        held=st.booleans(),
        note=texts,
        published_by=texts,
        write_id=texts,
        history=st.lists(_targets(unknown), max_size=3).map(tuple),
        expired=st.lists(references, max_size=3).map(tuple),
        edited=st.just(False),
        format=st.just(format),
        unknown=unknown,
    )


pointers = _pointers(FORMAT, st.just({})) | _pointers(f"{FORMAT}.7", unknown_keys)
"""Of this version, and of a later minor one."""


@st.composite
def _trees(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Files and empty folders that can be in one folder together."""
    files: list[str] = []
    folders: list[str] = []
    for path in draw(st.lists(paths, max_size=5, unique=True)):
        taken = {*files, *folders}
        above = set(folders_above(path))
        if not above & taken and not any(path in folders_above(other) for other in taken):
            (files if draw(st.booleans()) else folders).append(path)
    return files, folders


@st.composite
def _blocks_of(draw: st.DrawFn, size: int) -> Blocks:
    """Those of a file of `size` bytes: at most four."""
    block = draw(st.integers(max(1, -(-size // 4)), 2**53))
    return Blocks(block, tuple(draw(digests) for _ in range(-(-size // block))))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    id = draw(ids)
    files, folders = draw(_trees())
    records = tuple(
        FileRecord(
            path=path,
            object=f"data/{id}/{path}",
            size=(size := draw(counts)),
            xxh3_128=draw(digests),
            mode=draw(st.none() | st.integers(0, 0o7777)),
            blocks=draw(st.none() | _blocks_of(size)),
        )
        for path in files
    )
    return Manifest(
        id=str(id),
        attempt=id.attempt,
        seq=id.seq,
        step=draw(st.none() | counts),
        created_at=draw(texts),
        created_by=draw(texts),
        parent=draw(st.none() | references),
        copied_from=draw(st.none() | references),
        lineage=draw(st.builds(Lineage, texts, texts, texts, texts, texts)),
        metadata=draw(st.dictionaries(texts, json_values, max_size=3)),
        files=records,
        folders=tuple(folders),
        total_bytes=sum(record.size for record in records),
    )
