"""How payload gets to where it belongs to a new checkpoint of our own home.

It is sent from this machine, or copied inside the store. Either way the records of a manifest come back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

import msgspec

from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.names import CheckpointId, payload_object
from ckptptr.session.session import Session
from ckptptr.transfer.copy import copy_all
from ckptptr.transfer.plan import Local
from ckptptr.transfer.progress import SAVING, Showing
from ckptptr.transfer.upload import upload_all


def send(
    session: Session, checkpoint: CheckpointId, files: Collection[Local], showing: Showing = SAVING
) -> list[FileRecord]:
    """Upload files as payload of `checkpoint`. One that is not there any more is left out.

    Raises: as `upload_all`.
    """
    return upload_all(session.store, session.node.home, files, partial(payload_object, checkpoint), showing)


def copy(
    session: Session,
    checkpoint: CheckpointId,
    home: str,
    records: Iterable[FileRecord],
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[FileRecord]:
    """Copy the objects of `records`, which are relative to `home`, as payload of `checkpoint`.

    Raises: as `copy_all`.
    """
    old = [*records]
    new = [msgspec.structs.replace(r, object=payload_object(checkpoint, r.path)) for r in old]
    copy_all(
        session.store,
        ((f"{home}/{a.object}", f"{session.node.home}/{b.object}") for a, b in zip(old, new, strict=True)),
        is_cancelled=is_cancelled,
    )
    return new
