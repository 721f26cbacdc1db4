"""A task whose threads save, and ask for the checkpoint; flytekit's context is empty in each of them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flytekit import current_context, task

import ckptptr.flyte

SAVES = 6


@task(retries=3)
def in_threads() -> str:
    answers: list[str] = []

    def ask() -> None:
        try:
            answers.append(f"{ckptptr.flyte.checkpoint().history()[0].bytes} bytes")
            answers.append(f"{current_context().checkpoint is ckptptr.flyte.checkpoint()}")
        except NotImplementedError as error:
            answers.append(f"{error}")

    in_a_thread(ask)
    checkpoint = current_context().checkpoint
    folder = Path(current_context().working_directory)

    def save(number: int) -> None:
        (folder / f"part-{number}").write_text(f"{number}")
        checkpoint.save(folder / f"part-{number}")

    with ThreadPoolExecutor(SAVES) as pool:
        list(pool.map(save, range(SAVES - 1)))
    in_a_thread(lambda: save(SAVES - 1))
    in_a_thread(ask)
    return "; ".join(answers)


def in_a_thread(work: object) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
