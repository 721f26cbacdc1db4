"""The task of Flyte's own documentation on intra-task checkpoints, and not one line of ckptptr in it.

With ckptptr installed in the image it resumes past attempts that died before they saved anything:
    make demo
"""

from flytekit import current_context, task


@task(retries=10)
def count_to(n: int) -> str:
    checkpoint = current_context().checkpoint
    previous = checkpoint.read()
    start = int(previous.decode()) if previous else 0
    for done in range(start + 1, n + 1):
        checkpoint.write(f"{done}".encode())
    return f"counted from {start} to {n}"
