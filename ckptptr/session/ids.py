"""The names of the checkpoints that a process makes."""

from __future__ import annotations

from collections.abc import Callable

from ckptptr.protocol.inventory import committed
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.session.session import Session


class Ids:
    """New ids, each with a `seq` above all that was seen.

    Args:
        begun: is told of each reference before anything is uploaded under it.
    """

    def __init__(self, session: Session, begun: Callable[[str], object]) -> None:
        self._session = session
        self._begun = begun
        self._highest_seq: int | None = None

    def new(self, seen: Seen) -> CheckpointId:
        """The next id, given LATEST as it is. The first call lists our own home."""
        checkpoint, node = self.proposed(seen), self._session.node
        self._begun(node.root.ref(manifest_key(node.home, checkpoint)))
        return checkpoint

    def took(self, checkpoint: CheckpointId) -> None:
        """Another writer has drawn this id."""
        self._highest_seq = max(self._highest_seq or 0, checkpoint.seq)

    def proposed(self, seen: Seen, nonce: str = "") -> CheckpointId:
        """An id that another writer may overrule; `nonce` is drawn where it is not given."""
        node = self._session.node
        if self._highest_seq is None:
            ids = committed(self._session.store, node.home).ids
            self._highest_seq = max((checkpoint.seq for checkpoint in ids), default=0)
        named = seen.pointer.highest_seq if seen.pointer else 0
        self._highest_seq = max(self._highest_seq, named) + 1
        return CheckpointId.new(self._highest_seq, node.attempt, self._session.clock, nonce)
