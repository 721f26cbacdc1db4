"""The other processes of our attempt (ranks), which save checkpoints of the same home."""

from __future__ import annotations

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.inventory import read_manifest
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.manifest import Manifest
from ckptptr.session.session import Session


def sibling(session: Session, seen: Seen) -> Manifest | None:
    """The checkpoint that LATEST names, if another process of our incarnation saved it and it is not what
    we started from."""
    node = session.node
    reference = seen.pointer.target.checkpoint if seen.pointer and not seen.is_held else ""
    found = node.root.manifest_at(reference)
    if found is None or found.home != node.home or reference == session.content.reference:
        return None
    if session.latest.fence.is_of_another_incarnation(seen.pointer):
        return None
    try:
        manifest = read_manifest(session.store, found.home, found.id)
    except (NotFoundError, DamagedError):
        return None
    if node.lineage.differs_from(manifest.lineage):
        return None  # another node: Flyte's hashes collide
    if manifest.put is True:
        return None  # a person's
    is_our_start = manifest.copied_from is not None and manifest.copied_from == session.content.reference
    return None if is_our_start or manifest.created_by == session.author else manifest
