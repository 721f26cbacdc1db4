"""Tasks that end in other ways than well."""

import asyncio
import os
import signal
import sys
import time

import flyte

from ckptptr.flyte2 import checkpoint

env = flyte.TaskEnvironment(name="ending")
STEPS = 1000


@env.task
def preempted() -> str:
    """In a thread beside the event loop: `check` ends the block, and the block saves."""
    done = 0
    with checkpoint().on_preemption(lambda: checkpoint().save_sync(str(done).encode(), step=done)) as block:
        for done in range(1, STEPS):
            if done == 1:
                checkpoint().save_sync(b"1", step=1)
            if done == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.02)
            block.check()
    return "not preempted"


@env.task
async def preempted_async() -> str:
    """In the event loop, where nothing may wait: the next save ends the block. A library listens too."""
    done = 0
    async with checkpoint().on_preemption(lambda: checkpoint().save(str(done).encode(), step=done)):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, print, "the library was told")
        for done in range(1, STEPS):
            if done == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            if done in (1, 10):  # the second one comes after the signal, and is the last
                await checkpoint().save(str(done).encode(), step=done)
            await asyncio.sleep(0.02)
    return "not preempted"


@env.task
def exits(code: int) -> None:
    """As Lightning does on SIGTERM."""
    checkpoint().save_sync(b"in the background", step=1, block=False)
    sys.exit(code)
