"""Some minutes of trouble, and a summary: `python -m tests.trouble --store s3`, or `make trouble`."""

from __future__ import annotations

import argparse
import logging
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.trouble.run import Summary, trouble
from tests.trouble.stores import STORES

RESULTS = Path(__file__).with_name("RESULTS.md")


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with all that was started
    logging.getLogger("aiohttp.server").disabled = True  # what the proxies cut
    folder = Path(tempfile.mkdtemp(prefix=f"trouble-{options.store}-"))
    commit = _commit()
    print(f"seed {options.seed}, store {options.store}, logs in {folder}", flush=True)
    summary = trouble(options.store, folder, seed=options.seed, seconds=60 * options.minutes)
    summary.commit = commit
    summary.date = time.strftime("%Y-%m-%d", time.gmtime())
    print(summary)
    if options.record:
        RESULTS.write_text(recorded(RESULTS.read_text(), summary))
    if summary.wrong:
        print(f"what each process did is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def recorded(page: str, summary: Summary) -> str:
    """The page with the summary in place of the last one of that store."""
    head = page.split("\n## ", maxsplit=1)[0].rstrip("\n")
    sections = {section.split("\n", 1)[0]: section for section in page.split("\n## ")[1:]}
    sections[summary.store] = f"{summary.store}\n\n{summary}\n"
    kept = [sections[name].rstrip("\n") for name in STORES if name in sections]
    return "\n\n## ".join([head, *kept]) + "\n"


def _commit() -> str:
    def git(*words: str) -> str:
        top = Path(__file__).parents[2]
        return subprocess.run(
            ["git", *words], cwd=top, capture_output=True, text=True, check=False
        ).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("" if not git("status", "--porcelain") else " and changes")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.trouble", description=__doc__)
    parser.add_argument("--store", choices=STORES, default="disk")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--record", action="store_true", help=f"write the summary into {RESULTS.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
