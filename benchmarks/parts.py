"""One checkpoint of many writers: requests, seconds and dollars, with every request taking `LATENCY` seconds.

    python -m benchmarks.parts 8 64 1024

The writers are threads of this process on a store in memory. Each saves one small file: payload is not
what is measured. Prices are those of S3 Standard in us-east-1, as known in November 2026.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from ckptptr.checkpoints import Checkpoints
from ckptptr.nodes.plain import node_at
from ckptptr.session.session import Session
from ckptptr.stores.memory import MemoryStore
from ckptptr.testing.faults import FaultyStore

LATENCY = 0.02
PUT, GET = 0.005 / 1000, 0.0004 / 1000  # dollars a request; PUT also for LIST


class Slow(FaultyStore):
    """Answers after `LATENCY`."""

    def _run(self, *arguments: object, **options: object) -> object:  # type: ignore[override]
        time.sleep(LATENCY)
        return super()._run(*arguments, **options)  # type: ignore[arg-type]


def main(counts: list[int]) -> None:
    print(f"{'writers':>8} {'seconds':>8} {'create':>7} {'upload':>7} {'list':>6} {'read':>7} {'dollars':>8}")
    for count in counts:
        store, sent = MemoryStore(), Counter[str]()
        ranks = []
        for _ in range(count):
            own = Slow(store, [])
            session = Session(own, node_at(own, "b/run", attempt=0, read_only=False), incarnation="round")
            ranks.append((own, Checkpoints(session)))
        with tempfile.TemporaryDirectory() as folder:
            for rank in range(count):
                Path(folder, str(rank)).mkdir()
                Path(folder, str(rank), f"shard-{rank}").write_bytes(b"x")
            for step in (1, 2):  # the second save is the steady one
                logged = [len(own.log) for own, _ in ranks]
                began = time.monotonic()
                saving = [
                    checkpoints.parts(rank, count).save(Path(folder, str(rank)), step=step, block=False)
                    for rank, (_, checkpoints) in enumerate(ranks)
                ]
                for future in saving:
                    future.result()
                took = time.monotonic() - began
        for (own, _), before in zip(ranks, logged, strict=True):
            sent.update(request.op for request in own.log[before:])
        puts = sent["create"] + sent["upload"] + sent["list"] + sent["replace"]
        dollars = puts * PUT + sent["read"] * GET
        print(
            f"{count:>8} {took:>8.1f} {sent['create']:>7} {sent['upload']:>7} {sent['list']:>6} "
            f"{sent['read']:>7} {dollars:>8.4f}"
        )


if __name__ == "__main__":
    main([int(text) for text in sys.argv[1:]] or [8, 64, 1024])
