"""A task of Flyte in trouble: it restores, looks at every byte, and saves until something ends it."""

import os
import tempfile
from pathlib import Path

from flytekit import current_context, task

from ckptptr.flyte import checkpoint
from tests.trouble import jumping_clock
from tests.trouble.ledger import Ledger, content, written
from tests.trouble.writers import pause

jumping_clock.install()


@task
def save_folders(ledgers: str, node: str) -> int:
    ledger = Ledger(Path(ledgers), node)
    ledger.watch()
    with ledger.errors(), tempfile.TemporaryDirectory() as name:
        ledger.restore(checkpoint(), Path(name, "restored"))
        while True:
            step = ledger.begin()
            checkpoint().save(written(node, step, Path(name, "work")), step=step)
            pause()


@task
def save_as_stock_tasks_do(ledgers: str, node: str) -> int:
    ledger = Ledger(Path(ledgers), node)
    ledger.watch()
    with ledger.errors():
        ledger.restore(checkpoint(), Path(os.environ["TMPDIR"], "restored"))
        while True:
            (data,) = content(node, ledger.begin()).values()
            current_context().checkpoint.write(data)
            pause()
