"""Several processes of one attempt (ranks) save files of one checkpoint: no file is dropped."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ckptptr.protocol.manifest import FileRecord, Manifest


def merge(
    mine: Manifest, theirs: Manifest, *, base: Mapping[str, FileRecord], dropped: Collection[str]
) -> dict[str, FileRecord] | None:
    """The files of a checkpoint that has both what LATEST names by now and what we saved.

    A three-way merge. Where both have changed the same file, a sibling that is ahead of us (a higher
    seq) has the last word, so that a slow rank never takes the checkpoint back. A folder save drops
    only what this process wrote.

    Args:
        mine: our checkpoint, which LATEST does not name yet.
        theirs: a sibling's, which LATEST names.
        base: the files of what we had saved or restored before: what is the same there has not changed.
        dropped: the paths that this process had written before and has replaced by nothing.

    Returns:
        None where theirs has all of it already.
    """
    merged = {record.path: record for record in theirs.files}
    is_ahead = theirs.seq > mine.seq
    kept = {path for path, record in merged.items() if is_ahead and not _same(record, base.get(path))}
    for path in dropped:
        if path not in kept:
            merged.pop(path, None)
    for record in mine.files:
        if record.path not in kept and not _same(record, base.get(record.path)):
            merged[record.path] = record
    has_all = set(merged.values()) == set(theirs.files) and set(mine.folders) <= set(theirs.folders)
    return None if has_all else merged


def _same(record: FileRecord, other: FileRecord | None) -> bool:
    return other is not None and (record.xxh3_128, record.mode) == (other.xxh3_128, other.mode)
