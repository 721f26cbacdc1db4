"""The example's counter, with a payload of many network packets and ckptptr's log turned up to DEBUG."""

import logging
import os

from flytekit import current_context, task

SIZE = int(os.environ.get("PADDED", "400_000"))  # bytes

heard = logging.StreamHandler()
heard.setFormatter(logging.Formatter("heard %(name)s: %(message)s"))
logging.getLogger("ckptptr").addHandler(heard)
logging.getLogger("ckptptr").setLevel(logging.DEBUG)


@task(retries=10)
def count_to(n: int) -> str:
    checkpoint = current_context().checkpoint
    previous = checkpoint.read()
    start = int(previous.decode()) if previous else 0
    for done in range(start + 1, n + 1):
        checkpoint.write(f"{done}".ljust(SIZE).encode())
    return f"counted from {start} to {n}"
