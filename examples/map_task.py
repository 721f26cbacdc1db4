"""A map task: each index has its own LATEST, and resumes by itself.

An index that dies is tried again alone. Where the whole map task is tried again, Flyte gives each index
new paths and counts its attempts from 0; it goes on from its checkpoint all the same. To kill index 1:

    ckptptr simulate map_task:longest_chain --folder examples --input 'first=[1,20001,40001]' \
        --map-index 1 --die 'after save 2'
"""

import json

from flytekit import current_context, map_task, task, workflow

SIZE = 20_000  # numbers in a slice
CHUNK = 4_000


def chain_length(number: int) -> int:
    length = 1
    while number != 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        length += 1
    return length


@task(retries=5)
def longest_chain(first: int) -> str:
    """Which number of the slice that begins with `first` has the longest Collatz chain."""
    checkpoint = current_context().checkpoint
    saved = checkpoint.read()
    state = json.loads(saved) if saved else {"next": first, "best": [0, 0]}
    start = state["next"]
    while state["next"] < first + SIZE:
        chunk = range(state["next"], state["next"] + CHUNK)
        best = max([chain_length(number), number] for number in chunk)
        state = {"next": chunk.stop, "best": max(state["best"], best)}
        checkpoint.write(json.dumps(state).encode())
    return f"{state['best'][1]}, counted from {start}"


@workflow
def longest_chains(first: list[int]) -> list[str]:
    return map_task(longest_chain)(first=first)
