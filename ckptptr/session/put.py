"""Put: a checkpoint that a person makes of local files, beside whatever runs.

It is committed in the home of the last attempt that left a trace, under the next `seq`: so the walk-back
finds it, retention may release it, and naming it fences only the attempts before that one. Its manifest says
that a person made it: an attempt that still saves there does not take it for a sibling's. LATEST is not
touched: the next step is to `use` it, which holds LATEST, so that no running attempt publishes over the
choice.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ckptptr.protocol.inventory import committed
from ckptptr.protocol.names import CheckpointId
from ckptptr.session.content import Change
from ckptptr.session.objects import send
from ckptptr.session.session import Session
from ckptptr.transfer.progress import Showing


def put(
    session: Session, change: Change, *, step: int | None, metadata: dict[str, Any], showing: Showing
) -> str:
    """Upload and commit the files of `change` in the home of the session's node; the reference.

    Raises:
        InvalidArgumentError: a file changed while it was read, or the metadata cannot be saved.
        LocalDiskError: a file could not be read.
        StoreUnavailableError: the store did not take it; nothing is committed.
    """
    publisher = session.publisher
    checkpoint = CheckpointId.new(_highest_seq(session) + 1, session.node.attempt, session.clock)
    files = send(session, checkpoint, change.files.values(), showing)
    manifest = publisher.manifest(checkpoint, files, folders=change.folders, step=step, metadata=metadata)
    manifest = msgspec.structs.replace(manifest, put=True)
    publisher.commit(manifest)
    return publisher.found(manifest).reference


def _highest_seq(session: Session) -> int:
    ids = (id for home in session.node.own_homes(session.store) for id in committed(session.store, home).ids)
    pointer = session.latest.read().pointer
    return max((pointer.highest_seq if pointer else 0, *(id.seq for id in ids)))
