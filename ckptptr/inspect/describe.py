"""Checkpoints and LATEST, as the shapes that commands print."""

from __future__ import annotations

from typing import Any

import msgspec

from ckptptr.inspect import shapes
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.latest import Seen
from ckptptr.protocol.names import split_manifest_key
from ckptptr.protocol.pointer import Target
from ckptptr.protocol.references import FRESH
from ckptptr.stores.capacity import at_once, capacity_of
from ckptptr.stores.obstore.lending import reason
from ckptptr.stores.port import HasEngine
from ckptptr.stores.wrappers.around import unwrap

_SIZES = ("block_bytes", "blocks_at_once", "connections")


def checkpoint_of(here: Here, found: Found, *, pinned: bool = False) -> shapes.Checkpoint:
    """A checkpoint whose manifest was read."""
    url = here.store.url(here.node.root.key(found.reference))
    manifest = found.manifest
    if manifest is None:
        size = sum(record.size for record in found.files)
        return shapes.Checkpoint(checkpoint=found.reference, url=url, bytes=size, files=len(found.files))
    return shapes.Checkpoint(
        checkpoint=found.reference,
        id=manifest.id,
        url=url,
        step=manifest.step,
        attempt=manifest.attempt,
        seq=manifest.seq,
        bytes=manifest.total_bytes,
        files=len(manifest.files),
        published_at=manifest.created_at,
        published_by=manifest.created_by,
        parent=manifest.parent,
        pinned=pinned,
        metadata=manifest.metadata,
    )


def as_named(shape: shapes.Checkpoint, named: Target | None) -> shapes.Checkpoint:
    """The same with what LATEST says of it, if it names it."""
    if named is None or shape.id is None:
        return shape
    return msgspec.structs.replace(
        shape,
        # A forward copy is newer than the publish of its source.
        published_at=named.published_at or shape.published_at,
        pinned=shape.pinned or named.pinned,
    )


def checkpoint_by_name(here: Here, target: Target) -> shapes.Checkpoint:
    """A checkpoint whose manifest was not read: what LATEST and its own name say."""
    split = split_manifest_key(f"{here.node.root.base}/{target.checkpoint}")
    is_described = bool(target.published_at)
    return shapes.Checkpoint(
        checkpoint=target.checkpoint,
        id=str(split[1]) if split else None,
        step=target.step,
        attempt=split[1].attempt if split else None,
        seq=split[1].seq if split else None,
        bytes=target.bytes if is_described else None,
        published_at=target.published_at or None,
        pinned=target.pinned,
    )


def engine_of(here: Here) -> dict[str, Any]:
    """What moves payload to and from the store on this machine, and why: fields of `shapes.Show`."""
    store, prefix = unwrap(here.adapter, HasEngine), here.node.prefix
    engine, why = "fsspec", reason()
    if store is not None:
        engine, why = store.engine(prefix), store.why(prefix)
    elif "://" not in here.url or here.url.startswith("memory://"):
        engine = "this machine's disk" if "://" not in here.url else "this process's memory"
        return {"engine": engine, "engine_why": "no network is between", **dict.fromkeys(_SIZES)}
    # Asked for when it is known which engine it is.
    block, capacity = here.adapter.block_size, capacity_of(here.adapter)
    sizes = zip(_SIZES, (block, at_once(block, capacity.room), capacity.requests), strict=True)
    return {"engine": engine, "engine_why": why, **dict(sizes)}


def latest_of(here: Here, seen: Seen, *, is_now: bool = True) -> shapes.Latest:
    """LATEST, as it was read. `is_now`: it is still so; the store then says when a person edited it."""
    pointer = seen.pointer
    common = {"url": here.latest.url, "guarantee": here.store.guarantee.value}
    if pointer is None:
        return shapes.Latest(
            **common,
            state="damaged" if seen.damage else "absent",
            checkpoint=None,
            step=None,
            held=False,
            held_by=None,
            note="",
            fence=None,
            written_by=None,
            damage=seen.damage.replace(f": {here.latest.url}", "") or None,
        )
    return shapes.Latest(
        **common,
        state="edited" if pointer.edited else "written",
        checkpoint=FRESH if pointer.target.is_fresh else pointer.target.checkpoint,
        step=pointer.target.step,
        held=pointer.held,
        held_by=("edit" if pointer.edited else "use") if pointer.held else None,
        note=pointer.note,
        fence=None if pointer.edited else pointer.fence,
        written_by=pointer.published_by or None,
        damage=None,
        moved_at=(here.changed_at if is_now else None) if pointer.edited else pointer.moved_at or None,
        moved_by=pointer.moved_by or None,
        moved_with="edit" if pointer.edited else pointer.moved_with or None,
    )
