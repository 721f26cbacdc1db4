"""Some minutes of trouble, and a summary: `python -m tests.trouble --store s3`, or `make trouble`."""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.results import commit, recorded
from tests.trouble.run import trouble
from tests.trouble.stores import STORES

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all that was started
    logging.getLogger("aiohttp.server").disabled = True  # what the proxies cut
    folder = Path(tempfile.mkdtemp(prefix=f"trouble-{options.store}-"))
    running = commit()
    print(f"seed {options.seed}, store {options.store}, logs in {folder}", flush=True)
    summary = trouble(options.store, folder, seed=options.seed, seconds=60 * options.minutes)
    summary.commit = running
    summary.date = time.strftime("%Y-%m-%d", time.gmtime())
    print(summary)
    if options.record:
        RESULTS.write_text(recorded(RESULTS.read_text(), summary.store, str(summary), STORES))
    if summary.wrong:
        print(f"what each process did is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.trouble", description=__doc__)
    parser.add_argument("--store", choices=STORES, default="disk")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--record", action="store_true", help=f"write the summary into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
