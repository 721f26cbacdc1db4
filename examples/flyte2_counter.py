"""A task of Flyte 2 as its documentation writes checkpoints, and not one line of ckptptr in it.

With ckptptr installed in the image it resumes past attempts that died before they saved anything:
    ckptptr simulate flyte2_counter:count_to --folder examples --input n=8 --die 'in save 4'
"""

import flyte

env = flyte.TaskEnvironment(name="counter")


@env.task(retries=10)
async def count_to(n: int) -> str:
    checkpoint = flyte.ctx().checkpoint
    previous = await checkpoint.load()
    start = int(previous.read_text()) if previous else 0
    for done in range(start + 1, n + 1):
        await checkpoint.save(f"{done}".encode())
    return f"counted from {start} to {n}"
