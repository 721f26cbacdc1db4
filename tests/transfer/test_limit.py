from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from ckptptr.stores.memory import MemoryStore
from ckptptr.transfer.limit import Measured, cores
from ckptptr.transfer.plan import Local
from ckptptr.transfer.progress import Progress
from ckptptr.transfer.upload import upload_all

MIB = 1 << 20


class Clock:
    """Seconds pass when it is told so; of the CPU, too."""

    now = 100.0
    cpu = 5.0

    def measured(self) -> Measured:
        return Measured(lambda: self.now, lambda: self.cpu)


def limit(requests: int, at_once: int, *, count: int, here: float = 0.0, cpu: float = 0.0) -> str:
    """Of 20 seconds in each of which `requests` began and ended together, and one in which `at_once` did."""
    clock = Clock()
    measured = clock.measured()
    for number in (*[requests] * 19, at_once):
        with ExitStack() as under_way:
            for _ in range(number):
                under_way.enter_context(measured.request(8 * MIB))
            clock.now += 1
    measured.here += here
    clock.cpu += cpu
    return measured.limit(count, cores=2.0)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (limit(8, 8, count=160 * 8 * MIB, cpu=38), "the CPU: this process used 1.9 of 2.0 cores"),
        (
            limit(8, 8, count=160 * 8 * MIB, here=112, cpu=31),
            "this machine's disk, or the program that writes: 70 % of the time went there",
        ),
        (
            limit(1, 8, count=27 * MIB),
            "too little to do at once: 1.4 requests were under way on average, 8 at most",
        ),
        (
            limit(64, 64, count=1280 * 65536),
            "the answers: 1000 ms for each request of 64.0 KiB; 64.0 requests were under way on average,"
            " 64 at most",
        ),
        (
            limit(16, 16, count=320 * 8 * MIB),
            "the network or the store, which look the same from here: 8.0 MiB/s for each;"
            " 16.0 requests were under way on average, 16 at most",
        ),
        (limit(0, 0, count=0), ""),
    ],
)
def test_a_transfer_says_what_limited_it(said: str, words: str) -> None:
    assert said == words


@pytest.mark.parametrize(("quota", "count"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)])
def test_a_container_may_use_fewer_cores_than_the_machine_has(
    tmp_path: Path, quota: str, count: float | None
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    machine = cores(tmp_path / "absent")
    assert machine >= 1
    assert cores(tmp_path / "cpu.max") == min(machine, count or machine)


class Slow(MemoryStore):
    """Each upload takes as long as it is told."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.clock, self.seconds = clock, seconds

    def upload(self, key: str, blocks: Sequence[bytes]) -> bool:  # type: ignore[override]
        self.clock.now += self.seconds
        return super().upload(key, blocks)


@pytest.mark.parametrize(("seconds", "lines"), [(9.0, 0), (10.0, 1)])
def test_only_a_slow_transfer_says_it(caplog: pytest.LogCaptureFixture, seconds: float, lines: int) -> None:
    clock = Clock()

    def showing(total: int) -> Progress:
        return Progress("saving", total, line_every=1000.0, clock=lambda: clock.now, cpu=lambda: clock.cpu)

    with caplog.at_level(logging.INFO, "ckptptr"):
        upload_all(Slow(clock, seconds), "home", [Local("f", bytes(MIB), MIB)], str, showing)
    assert [record.getMessage() for record in caplog.records] == [
        "saving: 1.0 MiB in 10.0 s; the limit was the network or the store, which look the same from here:"
        " 102.4 KiB/s for each; 1.0 requests were under way on average, 1 at most"
    ] * lines
