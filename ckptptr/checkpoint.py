"""A checkpoint as its user sees it."""

from __future__ import annotations

from dataclasses import dataclass

from ckptptr.protocol.pointer import Target
from ckptptr.session.session import Session


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint, as LATEST names it.

    `reference` is what LATEST, `restore(checkpoint=...)` and `ckptptr use` take; `url` is where its
    manifest is; `bytes` the size of its payload; `published_at` a time in UTC, for people.
    """

    reference: str
    url: str
    step: int | None
    attempt: int
    seq: int
    bytes: int
    published_at: str
    pinned: bool

    @classmethod
    def of(cls, target: Target, session: Session) -> Checkpoint:
        """What LATEST says of it, and where it is."""
        return cls(
            reference=target.checkpoint,
            url=session.store.url(session.node.root.key(target.checkpoint)),
            step=target.step,
            attempt=target.attempt,
            seq=target.seq,
            bytes=target.bytes,
            published_at=target.published_at,
            pinned=target.pinned,
        )
