"""Flyte 2 on spot machines: saves that the training does not wait for, and a last one when SIGTERM comes.

The next attempt repeats nothing, and ends with the result of an undisturbed run.

    ckptptr simulate flyte2_preemption:train --folder examples --input steps=30 \
        --die 'sigterm after save 2' --die 'before python'
"""

import asyncio
import json

import flyte

from ckptptr.flyte2 import checkpoint

env = flyte.TaskEnvironment(name="preemption")

EVERY = 5


@env.task(retries=10)
async def train(steps: int) -> str:
    ours = checkpoint()
    loaded = await ours.load()
    state = json.loads(loaded.read_text()) if loaded else {"step": 0, "weight": 1.0}

    def frozen() -> bytes:
        return json.dumps(state).encode()

    # The signal is noted. The next `check` ends the block, between two steps, and the block saves.
    async with ours.on_preemption(lambda: ours.save(frozen(), step=state["step"]), deadline=20) as block:
        while state["step"] < steps:
            state = {"step": state["step"] + 1, "weight": state["weight"] * 0.9 + 1}
            await asyncio.sleep(0.02)  # the work of a step
            if state["step"] % EVERY == 0 or state["step"] == steps:
                # Returns at once; one save at a time, and of those that wait the newest wins.
                await ours.save(frozen(), step=state["step"], block=False)
            block.check()
        await asyncio.to_thread(ours.wait)  # raises what a save in the background failed with
    return f"{state['weight']:.6f}"
