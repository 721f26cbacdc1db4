"""The other processes of our attempt (ranks), which save checkpoints of the same home."""

from __future__ import annotations

from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import Manifest
from ckptptr.session.session import Session


def sibling(session: Session, seen: Seen) -> Manifest | None:
    """The checkpoint that LATEST names, if another process of our incarnation saved it and it is not what
    we started from."""
    pointer = seen.pointer
    if pointer is None or pointer.held or pointer.target.checkpoint == session.content.reference:
        return None
    manifest = session.publisher.saved_by_sibling(pointer)
    if manifest is None:
        return None
    is_our_start = manifest.copied_from is not None and manifest.copied_from == session.content.reference
    return None if is_our_start or manifest.created_by == session.author else manifest
