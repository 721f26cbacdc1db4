"""Tasks that treat files as trainers do, and leave what trainers leave."""

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flytekit import current_context, task
from flytekit.exceptions.user import FlyteRecoverableException

from ckptptr.flyte import checkpoint


@contextmanager
def busy(folder: Path) -> Iterator[None]:
    """Meanwhile a log grows, and short-lived files come and go."""
    is_over = threading.Event()

    def work() -> None:
        with (folder / "log").open("wb") as log:
            while not is_over.is_set():
                log.write(b"step\n" * 100)
                log.flush()
                (folder / "short-lived").write_bytes(b"x")
                (folder / "short-lived").unlink()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def fill(folder: Path, outside: Path) -> None:
    for number, name in enumerate(("b-older", "a-newest")):
        (folder / name).write_text(name)
        os.utime(folder / name, ns=(0, 1_700_000_000_000_000_000 + number))
    outside.write_text("data")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "link").symlink_to(outside)
    (folder / "cache.tmp").write_text("cache")


def found(folder: Path) -> str:
    newest = max(("a-newest", "b-older"), key=lambda name: (folder / name).stat().st_mtime_ns)
    log = (folder / "log").read_bytes()
    is_log_whole = (b"step\n" * len(log)).startswith(log)  # a write over two pages may be seen in the middle
    others = sorted({path.name for path in folder.iterdir()} - {"log", "short-lived"})
    return f"newest {newest}; log {is_log_whole}; link {(folder / 'link').read_text()}; {' '.join(others)}"


@task
def leaves_a_folder(in_background: bool) -> str:
    ours = current_context().checkpoint
    with TemporaryDirectory() as top:
        restored, folder = Path(top, "restored"), Path(top, "out")
        if ours.prev_exists():
            ours.restore(str(restored))
            return found(restored)
        folder.mkdir()
        fill(folder, Path(top, "outside"))
        with busy(folder):
            while not (folder / "log").exists():
                time.sleep(0.001)
            if in_background:
                checkpoint().save(folder, step=1, block=False)
            else:
                ours.save(str(folder))
    if in_background:
        checkpoint().wait()
    raise FlyteRecoverableException("again")


@task
def finds_no_room() -> str:
    ours = current_context().checkpoint
    if not ours.prev_exists():
        ours.write(bytes(100_000))
        raise FlyteRecoverableException("again")
    if os.environ["FLYTE_ATTEMPT_NUMBER"] == "1":
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 100_000_000))
    return str(len(ours.read()))
