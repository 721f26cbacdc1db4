"""What grows is noticed, and a slice of `make soak`: a hundredth of its stories, on a disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.soak.attempts import attempts, claimed_attempts
from tests.soak.gauges import Gauges, Row, grown
from tests.soak.indices import in_threads
from tests.soak.ranks import ranks
from tests.soak.saves import hurried_saves, saves
from tests.soak.site import Site

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the gauges are those of Linux")

Story = Callable[[Site, int, int], list[Row]]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "size"),
    [
        (saves, 100),
        (hurried_saves, 100),
        (attempts, 20),
        (claimed_attempts, 20),
        (partial(ranks, world=4), 6),
        (lambda site, size, _: in_threads(site, range(size)), 8),
    ],
    ids=["saves", "hurried saves", "attempts", "claimed attempts", "ranks", "indices"],
)
def test_a_short_story_sends_and_leaves_no_more_at_its_end(tmp_path: Path, story: Story, size: int) -> None:
    rows = story(Site(f"{tmp_path}/store", tmp_path), size, 2)
    # Of threads, handles and memory other tests of this process have a share.
    exact = ("requests", "objects", "temporary", "writes")
    assert [row.broken for row in rows if row.what.startswith(exact) and row.broken] == []
    assert any(row.what.startswith("requests") for row in rows)


def test_what_grows_is_said_in_words() -> None:
    first = Gauges(heap=300_000, memory=70, threads=2, handles=12)
    assert [row.broken for row in grown(first, first, 1000) if row.broken] == []
    leaking = Gauges(heap=305_000, memory=90, threads=5, handles=15)
    assert [row.broken for row in grown(first, leaking, 1000) if row.broken] == [
        "heap, blocks: 300,000.00 at first, 305,000.00 at last, at most 302,500.00",
        "memory, MiB: 70.00 at first, 90.00 at last, at most 86.00",
        "threads: 2.00 at first, 5.00 at last, at most 4.00",
        "handles: 12.00 at first, 15.00 at last, at most 14.00",
    ]
