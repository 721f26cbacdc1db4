"""What is in the homes besides good checkpoints: expired ones, payload without a manifest, plain folders."""

from __future__ import annotations

from collections.abc import Iterator

from ckptptr.cli.checks.finding import Check, Examined, note, problem
from ckptptr.inspect import shapes
from ckptptr.inspect.explain import NO_HOMES
from ckptptr.inspect.sentences import in_words
from ckptptr.protocol.inventory import committed
from ckptptr.protocol.names import data_folder
from ckptptr.protocol.sweep import idle_payload
from ckptptr.transfer.pool import run_all
from ckptptr.wording import age, counted, passed, size

OLD = 7 * 86400
"""In seconds. For older checkpoints doctor warns of lifecycle rules that delete by age."""


def expired(e: Examined) -> Iterator[shapes.Finding]:
    """A problem where nothing else can be restored."""
    taken = e.shown.checkpoint
    if taken and any(each.outcome == "taken" and each.source == "doomed" for each in e.shown.candidates):
        step = [] if taken.step is None else ["--step", str(taken.step)]
        lines = e.here.command("get", "rescued"), e.here.command("put", "rescued", *step)
        yield problem(
            "doomed",
            f"Only what is expired can be restored: the next attempt resumes from {in_words(taken)} and saves"
            " it under a new id. If none is about to start, make a new checkpoint of it.",
            taken.url,
            " && ".join(lines),
            todo="decide",
        )
        return
    left = [entry for entry in e.log.checkpoints if entry.state == "doomed"]
    if left:
        those = counted(len(left), "expired checkpoint is", "expired checkpoints are")
        total = size(sum(entry.bytes or 0 for entry in left))
        yield note(
            "doomed",
            f"{those} not deleted yet ({total}). A running attempt will delete what retention released;"
            " otherwise run sweep.",
            left[0].url,
            e.sweep,
        )


def uncommitted(e: Examined) -> Iterator[shapes.Finding]:
    store = e.here.store
    stocks = run_all(lambda home: committed(store, home), e.here.node.own_homes(e.here.store))
    for stock, idle in zip(stocks, run_all(lambda stock: idle_payload(store, stock), stocks), strict=True):
        if idle:
            newest = max(idle, key=lambda checkpoint: checkpoint.age)
            total = size(sum(entry.size for entries in idle.values() for entry in entries))
            saves = counted(len(idle), "save was", "saves were")
            yield note(
                "uncommitted",
                f"{saves} begun here and not committed ({total}): killed, or uploading now. Never"
                " restored; a sweep deletes what earlier attempts left.",
                store.url(f"{stock.home}/{data_folder(newest)}"),
                e.sweep,
            )


def kept(e: Examined) -> Iterator[shapes.Finding]:
    """Damaged LATEST files that were replaced: their bytes are beside LATEST."""
    here = e.here
    store, latest = here.store, here.latest.key
    beside = [entry for entry in store.list(here.node.prefix) if entry.key.startswith(f"{latest}.damaged-")]
    for entry in beside:
        yield note(
            "kept",
            f"A damaged LATEST was replaced; its {entry.size} bytes are kept here.",
            store.url(entry.key),
        )


def plain(e: Examined) -> Iterator[shapes.Finding]:
    for entry in e.log.checkpoints:
        if entry.id is None and entry.problem is None:
            yield note(
                "plain",
                "A folder without manifests, as stock flytekit writes it. It can be restored, but nothing"
                " proves that it is complete.",
                entry.url,
            )


def expiry(e: Examined) -> Iterator[shapes.Finding]:
    taken = e.shown.checkpoint
    seconds = passed(taken.published_at, e.here.clock.now()) if taken else None
    if taken is not None and seconds is not None and seconds >= OLD:
        yield note(
            "expiry",
            f"The checkpoint for the next attempt was published {age(seconds)}. A lifecycle rule of the"
            " bucket that deletes by age would delete it; a pin does not protect it from that.",
            taken.url,
        )


def missing(e: Examined) -> Iterator[shapes.Finding]:
    if NO_HOMES in e.shown.warnings:
        yield problem("homes-missing", NO_HOMES, e.here.store.url(e.here.node.home))


CHECKS: tuple[Check, ...] = (missing, expired, uncommitted, kept, plain, expiry)
