"""Nodes with a past, in memory, and the look that a report takes at them."""

from __future__ import annotations

from pathlib import Path

from ckptptr.inspect.target import Here
from ckptptr.nodes.plain import node_at
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.retention import Retention
from tests.helpers import FLYTE, Immediate, Paused, Process, World


class Story:
    """One node, told attempt by attempt. Time passes as it is told."""

    def __init__(self, scratch: Path, *, keep: int = 1000) -> None:
        self.world = World(scratch, FLYTE)
        self.saved: dict[int, str] = {}
        """The newest checkpoint of each step."""
        self._retention = Retention(keep_last=keep)

    def here(self, attempt: int) -> Here:
        """As the command line sees it, in the place of that attempt."""
        world = self.world
        node = node_at(world.store, world.key, attempt=attempt, read_only=True)
        latest = Latest(world.store, world.key, world.clock, "a test")
        return Here(world.store, node, world.clock, latest, (), world.store)

    def pass_time(self, *, minutes: float) -> None:
        self.world.clock.slept += minutes * 60

    def attempt(
        self, number: int, *steps: int, size: int = 1000, every: float = 34, copies: bool = True
    ) -> Process:
        """Restore and save those steps; each larger than the one before, `every` so many minutes."""
        background = Immediate() if copies else Paused()
        process = self.world.process(number, retention=self._retention, background=background)
        process.restore()
        for step in steps:
            self.pass_time(minutes=every)
            text = "x" * size
            saved = process.save({"model.pt": text}, step=step, loss=round(1 / (1 + step), 4))
            self.saved[step] = saved.reference
            size = int(size * 1.15)
        self.pass_time(minutes=12)
        return process

    def damage(self, reference: str) -> None:
        key = self.world.key_of(reference)
        body, token = self.world.store.read(key)
        self.world.store.replace(key, body.replace(b'"total_bytes": ', b'"total_bytes": 1'), token)


def three(scratch: Path) -> Story:
    """Three saves, and nothing has gone wrong."""
    story = Story(scratch)
    story.attempt(0, 100, 200, 300)
    return story


def one(scratch: Path) -> Story:
    story = Story(scratch)
    story.attempt(0, 100)
    return story


def forty(scratch: Path) -> Story:
    """A bad week: attempts that left nothing, a damaged checkpoint, a rollback, pins, a hold."""
    story = Story(scratch)
    story.attempt(0, *range(100, 1100, 100))
    story.pass_time(minutes=300)
    story.attempt(3, *range(1100, 2100, 100), copies=False)
    story.damage(story.saved[2000])
    story.pass_time(minutes=30)
    story.attempt(4, *range(2000, 2800, 100))
    story.world.person().pin(story.saved[500], "the best so far")
    story.world.person().use(story.saved[1400], "the loss blew up after this")
    story.pass_time(minutes=1200)
    story.attempt(5, *range(1500, 2400, 100), copies=False)
    story.world.store.upload(
        f"{story.world.home_of(5)}/data/0000000099-a0005-killed99/model.pt", [b"x" * 700]
    )
    story.world.person().use(story.saved[2200], "the last <good> one")
    return story


def two_hundred(scratch: Path) -> Story:
    """Twelve attempts, two hundred checkpoints."""
    story = Story(scratch)
    for number in range(12):
        count = 17 if number < 8 else 16
        story.attempt(number, *range(number * 1700, number * 1700 + count * 100, 100), every=9, copies=False)
    return story


def retained(scratch: Path) -> Story:
    """As it is by default: the last three are kept, so that what attempts resumed from is gone."""
    story = Story(scratch, keep=3)
    story.attempt(0, 100, 200, 300, 400)
    story.attempt(2, 500, 600)
    story.attempt(3, 700, 800, 900)
    return story


EVIL = "<script>document.title = 'PWN' + 'ED'; console.log('it ran')</script>"


def hostile(scratch: Path, evil: str = EVIL) -> Story:
    """Somebody wrote markup wherever text can be written."""
    story = Story(scratch)
    process = story.world.process(0)
    img = "\"><img src=http://example.invalid/x.png onerror=\"document.title='PWN'+'ED'\">"
    saved = process.save({"a": "b"}, step=1, loss=evil, **{evil: img})
    story.world.person().use(saved.reference, f"{evil} {img} `{evil}`")
    story.world.edit(history=[{"checkpoint": f"nowhere/{evil}{img}", "step": 7}], published_by=evil)
    return story
