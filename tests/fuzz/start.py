"""The bucket that every case begins with: two nodes, and of one everything that a run and people leave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import msgspec
import xxhash

from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import plain_homes
from ckptptr.protocol.blocks import Blocks
from ckptptr.protocol.manifest import FileRecord, Lineage, Manifest
from ckptptr.protocol.names import CheckpointId, manifest_key, payload_object, pin_key, set_key
from ckptptr.protocol.parts import Named, Part, claim_key, nonce_of, part_key
from ckptptr.protocol.pointer import Pointer, Target
from tests.helpers import FLYTE, LAYOUTS, PLAIN

ROUND, STEP = "round7", 6
SET = nonce_of(ROUND, STEP, 2)
EXPIRED, PINNED, OLDER, TARGET, AHEAD = (
    CheckpointId(seq, attempt, letter * 8)
    for seq, attempt, letter in ((1, 0, "a"), (2, 0, "b"), (3, 0, "c"), (4, 1, "d"), (5, 1, "e"))
)
WHEN = "2026-11-23T15:20:05Z"


@dataclass(frozen=True)
class Start:
    """A bucket.

    Attributes:
        prefix: the key of the node that is damaged; `other` that of its neighbour, which nothing may touch.
        objects: by key.
        references: of the node's checkpoints, the oldest first.
    """

    prefix: str
    other: str
    objects: Mapping[str, bytes]
    references: tuple[str, ...]

    def home(self, attempt: int) -> str:
        return home_of(self.prefix, attempt)


@cache
def start(prefix: str) -> Start:
    base = prefix.partition("/_ckptptr/")[0] if "/_ckptptr/" in prefix else prefix
    other = prefix[:-1] + "1" if base != prefix else f"{prefix}-other"
    objects: dict[str, bytes] = {}
    entries = [_save(objects, prefix, base, id) for id in (EXPIRED, PINNED, OLDER, TARGET, AHEAD)]
    expired, pinned, older, target, _ahead = entries
    pinned = msgspec.structs.replace(pinned, pinned=True)
    objects[f"{prefix}/LATEST"] = Pointer(
        target=target,
        fence=1,
        incarnation="",
        note="as it was",
        published_by="pod/1/x",
        moved_at=WHEN,
        moved_by="pod/1/x",
        moved_with="save",
        write_id="w1",
        history=(older, pinned),
        expired=(expired.checkpoint,),
    ).encode()
    home = home_of(prefix, 0)
    objects[pin_key(home, PINNED)] = msgspec.json.encode({"note": "the best", "pinned_at": WHEN})
    objects[f"{home}/{payload_object(CheckpointId(9, 0, 'f' * 8), 'model')}"] = b"never committed"
    _part(objects, home_of(prefix, 1))
    objects[f"{home_of(prefix, 2)}/model"] = b"as stock flytekit saves"
    if base == prefix:
        for attempt in range(3):
            claim = {"claim": "c" * 12, "pid": 1, "claimed_at": WHEN}
            objects[f"{prefix}/claims/{attempt:04d}"] = msgspec.json.encode(claim)
    theirs = _save(objects, other, base if base != prefix else other, CheckpointId(1, 0, "z" * 8))
    objects[f"{other}/LATEST"] = Pointer(target=theirs).encode()
    return Start(prefix, other, objects, tuple(entry.checkpoint for entry in entries))


def home_of(prefix: str, attempt: int) -> str:
    node = NodePrefix.parse(prefix)
    return (node.homes_of(attempt) if node else plain_homes(prefix)(attempt))[0]


def starts() -> tuple[Start, ...]:
    return tuple(map(start, LAYOUTS))


def _save(objects: dict[str, bytes], prefix: str, base: str, id: CheckpointId) -> Target:
    home = home_of(prefix, id.attempt)
    model, note = f"model {id.seq} ".encode() * 3, b""
    files = (
        _record(objects, home, id, "model", model, blocks=16),
        _record(objects, home, id, "sub/note.txt", note, mode=0o600, mtime_ns=1_700_000_000 * 10**9),
    )
    node = NodePrefix.parse(prefix)
    manifest = Manifest(
        id=str(id),
        attempt=id.attempt,
        seq=id.seq,
        step=id.seq,
        created_at=WHEN,
        created_by="pod/1/x",
        parent=None,
        lineage=Lineage(node.project, node.domain, node.execution, node.node, "task", "v1")
        if node
        else Lineage(),
        metadata={"loss": 0.5, "words": ["a"]},
        files=files,
        folders=("empty",),
        total_bytes=sum(record.size for record in files),
    )
    objects[manifest_key(home, id)] = manifest.encode()
    return Target(
        checkpoint=manifest_key(home, id)[len(base) + 1 :],
        step=id.seq,
        attempt=id.attempt,
        seq=id.seq,
        published_at=WHEN,
        bytes=manifest.total_bytes,
    )


def _record(
    objects: dict[str, bytes],
    home: str,
    id: CheckpointId,
    path: str,
    body: bytes,
    blocks: int = 0,
    **rest: int,
) -> FileRecord:
    place = payload_object(id, path)
    objects[f"{home}/{place}"] = body
    pieces = [body[at : at + blocks] for at in range(0, len(body), blocks)] if blocks else []
    digests = tuple(map(xxhash.xxh3_128_hexdigest, pieces))
    whole = xxhash.xxh3_128_hexdigest(body)
    return FileRecord(
        path, place, len(body), whole, blocks=Blocks(blocks, digests) if blocks else None, **rest
    )


def _part(objects: dict[str, bytes], home: str) -> None:
    """Rank 0 of two has saved its share."""
    id = CheckpointId(STEP, 1, SET)
    named = Named(id=str(id), step=STEP, world_size=2, created_at=WHEN, created_by="pod/1/x")
    part = Part(rank=0, files=(_record(objects, home, id, "rank0", b"of rank 0"),), metadata={"loss": 1})
    objects[set_key(home, ROUND, SET)] = named.encode()
    objects[part_key(home, ROUND, SET, 0, 2)] = part.encode()
    objects[claim_key(f"{home}/data/.sets/{ROUND}/{SET}", 1)] = b"pod/1/x"


__all__ = ["FLYTE", "PLAIN", "Start", "start", "starts"]
