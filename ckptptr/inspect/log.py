"""Every checkpoint of a node, across its attempts: those that LATEST names, and others in its homes.

A listing shows what LATEST does not: saves that were committed and never published, expired checkpoints,
plain folders of stock flytekit. Each manifest is read, so that a damaged one is known before a person
chooses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import msgspec

from ckptptr.errors import (
    CkptptrError,
    DamagedError,
    InvalidArgumentError,
    NotFoundError,
    StoreUnavailableError,
)
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import as_named, checkpoint_by_name, checkpoint_of, latest_of
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.inventory import committed, read_manifest
from ckptptr.protocol.names import CheckpointId, manifest_key
from ckptptr.protocol.pointer import Pointer, Target
from ckptptr.transfer.pool import run_all


@dataclass(frozen=True, slots=True)
class _Shelved:
    """A checkpoint, or why it cannot be read. `age` orders those in homes of this node.

    Its manifest is not kept: it may name a million files.
    """

    reference: str
    shape: shapes.Checkpoint | None = None
    problem: CkptptrError | None = None
    pinned: bool = False
    age: tuple[int, int, str] | None = None


def everything(here: Here) -> shapes.Log:
    """All of them, newest first.

    Within the homes of the node (attempt, seq) says what is newer, never a clock. Checkpoints from
    elsewhere, another execution for example, are older than those, and come last.
    """
    seen = here.latest.read()
    pointer = seen.pointer
    shelved = {item.reference: item for item in _in_homes(here)}
    named = _named(here, pointer, shelved)
    ours = sorted((item for item in shelved.values() if item.age), key=_age, reverse=True)
    others = [item for item in shelved.values() if not item.age]
    target = next(iter(named), None) if pointer and not pointer.target.is_fresh else None
    expired = frozenset(pointer.expired if pointer else ())
    return shapes.Log(
        node=here.url,
        latest=latest_of(here, seen),
        checkpoints=[
            shapes.Entry(
                **msgspec.structs.asdict(_described(here, item, named.get(item.reference))),
                index=index,
                state=_state(item.reference, target, named, expired),
                held=item.reference == target and seen.is_held,
                problem=item.problem.message if item.problem else None,
                problem_code=item.problem.code if item.problem else None,
            )
            for index, item in enumerate([*ours, *others], start=1)
        ],
    )


def _age(item: _Shelved) -> tuple[int, int, str]:
    return item.age or (-1, -1, "")


def _state(
    reference: str, target: str | None, named: dict[str, Target], expired: frozenset[str]
) -> shapes.State:
    if reference == target:
        return "target"
    if reference in named:
        return "history"
    return "doomed" if reference in expired else "unnamed"


def _described(here: Here, item: _Shelved, named: Target | None) -> shapes.Checkpoint:
    if item.shape is None:
        described = checkpoint_by_name(here, named or Target(checkpoint=item.reference))
        return msgspec.structs.replace(
            described, checkpoint=item.reference, pinned=described.pinned or item.pinned
        )
    return as_named(item.shape, named)


def _in_homes(here: Here) -> list[_Shelved]:
    jobs: list[tuple[str, CheckpointId | None, bool]] = []
    for stock in run_all(lambda home: committed(here.store, home), here.node.own_homes(here.store)):
        jobs += [(stock.home, checkpoint, checkpoint in stock.pinned) for checkpoint in stock.ids]
        if not stock.ids:
            jobs.append((stock.home, None, False))
    return [item for item in run_all(lambda job: _read(here, *job), jobs) if item is not None]


def _read(here: Here, home: str, checkpoint: CheckpointId | None, pinned: bool) -> _Shelved | None:
    if checkpoint is None:
        return _plain(here, home)
    reference = here.node.root.ref(manifest_key(home, checkpoint))
    item = _Shelved(reference, pinned=pinned, age=checkpoint.age)
    try:
        manifest = read_manifest(here.store, home, checkpoint)
    except NotFoundError:
        return None  # deleted since it was listed
    except StoreUnavailableError:
        raise
    except CkptptrError as error:
        return replace(item, problem=error)
    found = Found(reference, home, manifest.files, manifest)
    return replace(item, shape=checkpoint_of(here, found, pinned=pinned))


def _plain(here: Here, home: str) -> _Shelved | None:
    item = _Shelved(here.node.root.ref(home), age=(here.node.attempt_of(home) or 0, -1, ""))
    try:
        return replace(item, shape=checkpoint_of(here, here.candidates.plain(home)))
    except NotFoundError:
        return None
    except (DamagedError, InvalidArgumentError) as problem:
        return replace(item, problem=problem)


def _named(here: Here, pointer: Pointer | None, shelved: dict[str, _Shelved]) -> dict[str, Target]:
    """The entries of LATEST by reference, the target first. Those in no home are added to `shelved`."""
    named: dict[str, Target] = {}
    for target in pointer.retained if pointer else ():
        reference = target.checkpoint
        if reference not in shelved:
            item = _look(here, reference, pointer)
            reference = item.reference
            shelved.setdefault(reference, item)
        named.setdefault(reference, target)
    return named


def _look(here: Here, text: str, pointer: Pointer | None) -> _Shelved:
    problem: CkptptrError = NotFoundError("there is no such checkpoint", key=text)
    for candidate in here.candidates.named(text, pointer):
        try:
            found = candidate.load()
        except StoreUnavailableError:
            raise
        except CkptptrError as error:
            problem = error
            continue
        return _Shelved(found.reference, checkpoint_of(here, found))
    return _Shelved(text, problem=problem)


def restorable(log: shapes.Log) -> Iterator[shapes.Entry]:
    """Those that a person can choose."""
    return (entry for entry in log.checkpoints if entry.problem is None and entry.state != "doomed")


def newer_than_held(here: Here, log: shapes.Log) -> list[shapes.Entry]:
    """The good checkpoints that a held LATEST does not name, and that are newer than what it names."""
    if not log.latest.held:
        return []
    target = next((entry for entry in log.checkpoints if entry.state == "target"), None)
    age = (-1, -1)
    if target is not None and here.node.owns(target.checkpoint):
        age = (target.attempt or 0, target.seq or 0)
    return [
        entry
        for entry in restorable(log)
        if entry.state == "unnamed" and entry.id and (entry.attempt or 0, entry.seq or 0) > age
    ]


def beside_hold(latest: shapes.Latest, newer: list[shapes.Entry]) -> list[shapes.Entry]:
    """Those that were committed while LATEST is held.

    A command keeps in LATEST what was there before. An edit may have dropped it from LATEST; then the times
    tell, if the store says when the edit was.
    """
    if latest.held_by != "edit":
        return newer
    return [entry for entry in newer if latest.moved_at and (entry.published_at or "") >= latest.moved_at]
