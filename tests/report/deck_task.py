"""A task with decks, run by the real `pyflyte-execute` in these tests."""

from flytekit import current_context, task


@task(retries=10, enable_deck=True)
def count_to(n: int) -> str:
    checkpoint = current_context().checkpoint
    previous = checkpoint.read()
    start = int(previous.decode()) if previous else 0
    for done in range(start + 1, n + 1):
        checkpoint.write(f"{done}".encode())
    return f"counted from {start} to {n}"


@task(retries=10, enable_deck=True)
def fail() -> None:
    current_context().checkpoint.write(b"1")
    raise ValueError("on purpose")
