"""How much memory something takes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path


def peak(work: Callable[[], object]) -> int:
    """The most that Python has in use at any moment of `work`, in bytes, beside what it had before."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def resident() -> int:
    """What this process has in memory now, in bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])
