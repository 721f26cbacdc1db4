"""Several processes of one attempt (ranks) save files of one checkpoint: nobody's file is dropped."""

from __future__ import annotations

from collections.abc import Collection

from ckptptr.protocol.manifest import FileRecord, Manifest


def merge(
    mine: Manifest, theirs: Manifest, *, written: Collection[str], dropped: Collection[str]
) -> dict[str, FileRecord] | None:
    """The files of a checkpoint that has both what LATEST names by now and what we saved.

    A sibling that is ahead of us (a higher seq) wins where both wrote the same file, so that a slow
    rank never takes the checkpoint back. A folder save replaces only what this process wrote.

    Args:
        mine: our checkpoint, which LATEST does not name yet.
        theirs: a sibling's, which LATEST names.
        written: the paths that this process has written.
        dropped: the paths that it had written before and has replaced by nothing.

    Returns:
        None where theirs has all of it already.
    """
    ours = {record.path: record for record in mine.files if record.path in written}
    merged = {record.path: record for record in theirs.files}
    if theirs.seq > mine.seq:
        merged = {**ours, **merged}
    else:
        merged = {path: record for path, record in merged.items() if path not in dropped} | ours
    return None if set(merged.values()) == set(theirs.files) else merged
