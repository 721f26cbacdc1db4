"""Put: a checkpoint that a person makes of local files, beside whatever runs.

It is committed in the home of the last attempt that left a trace, under the next `seq`: so the walk-back
finds it, retention may let it go, and no attempt is fenced by it. LATEST is not touched: to `use` it is
the next step, and holds LATEST, so that no running attempt publishes over the choice.
"""

from __future__ import annotations

from typing import Any

from ckptptr.clock import isoformat
from ckptptr.protocol.inventory import committed
from ckptptr.protocol.manifest import FileRecord, Manifest
from ckptptr.protocol.names import DATA, CheckpointId, manifest_key
from ckptptr.session.content import Change
from ckptptr.session.session import Session
from ckptptr.transfer.progress import Showing
from ckptptr.transfer.upload import upload_all


def put(
    session: Session, change: Change, *, step: int | None, metadata: dict[str, Any], showing: Showing
) -> str:
    """Upload and commit the files of `change` in the home of the session's node; the reference.

    Raises:
        InvalidArgumentError: a file changed while it was read, or the metadata cannot be saved.
        LocalDiskError: a file could not be read.
        StoreUnavailableError: the store did not take it; nothing is committed.
    """
    node, store = session.node, session.store
    checkpoint = CheckpointId.new(_highest_seq(session) + 1, node.attempt, session.clock)
    files = [*change.files.values()]
    objects = [f"{DATA}/{checkpoint}/{file.path}" for file in files]
    pairs = [(file, f"{node.home}/{key}") for file, key in zip(files, objects, strict=True)]
    sent = upload_all(store, pairs, showing)
    records = [
        FileRecord(file.path, key, size, digest, file.mode)
        for file, key, (size, digest) in zip(files, objects, sent, strict=True)
    ]
    session.publisher.commit(
        Manifest(
            id=str(checkpoint),
            attempt=node.attempt,
            seq=checkpoint.seq,
            step=step,
            created_at=isoformat(session.clock.now()),
            created_by=session.author,
            lineage=node.lineage,
            metadata=metadata,
            files=tuple(sorted(records, key=lambda record: record.path)),
            folders=tuple(sorted(change.folders)),
            total_bytes=sum(record.size for record in records),
        )
    )
    return node.root.ref(manifest_key(node.home, checkpoint))


def _highest_seq(session: Session) -> int:
    ids = (id for home in session.node.own_homes() for id in committed(session.store, home).ids)
    pointer = session.latest.read().pointer
    return max((pointer.highest_seq if pointer else 0, *(id.seq for id in ids)))
