"""Write a store with everything that this version can leave in one, to be kept in `tests/formats/ckptptr-1`.

    python tests/formats/write_store.py tests/formats/ckptptr-1/NAME

It runs with every version that has `ckptptr.open`: with an older one, put its checkout into PYTHONPATH. What
that version cannot do is left out. `NAME/store` is the store, `NAME/said.json` what its version says of it.
Objects of many zeros are not kept: `said.json` has their sizes.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import click

import ckptptr

NODES = {
    "plain": "plain/run",
    "flyte": "data/_ckptptr/project/development/axq2rsxnmht57kq9sxpt/n0",
    "parts": "ranks/run",
}
LARGE = 8 * 1024 * 1024 + 5
"""A file of two blocks, all zeros."""
CHANGED_NS = 1_700_000_000_123_456_789
KEPT = ckptptr.Retention(keep_last=2)

Said = dict[str, Any]


def content_of(step: int) -> dict[str, str | int]:
    """The files of a step: text, or a number of zeros."""
    return {
        "empty": "",
        "größe/ü 1.txt": "größe\n",
        "large.bin": LARGE,
        "model.bin": f"weights of step {step}",
        "run.sh": "#!/bin/sh\n",
    }


def read(folder: Path) -> dict[str, str | int]:
    """The files of a folder, as `content_of` has them."""
    bodies = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {path: len(body) if body == bytes(LARGE) else body.decode() for path, body in bodies.items()}


def folder_of(step: int, place: Path) -> Path:
    """A new folder with the files of a step."""
    folder = place / str(step)
    for path, content in content_of(step).items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes(content) if isinstance(content, int) else content.encode())
        file.chmod(0o755 if path == "run.sh" else 0o644)
        os.utime(file, ns=(CHANGED_NS, CHANGED_NS))
    (folder / "logs").mkdir()
    return folder


def run(*arguments: str) -> None:
    """The command line; a subcommand that this version does not have is left out."""
    main = importlib.import_module("ckptptr.cli").main
    if arguments[0] in main.list_commands(click.Context(main)):
        command = [sys.executable, "-m", "ckptptr.cli", *arguments]
        subprocess.run(command, check=True, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL)


def die_in_save(word: str, url: str) -> None:
    """Save in attempt 0, and die when a file with `word` in its path is put into its place."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"os.link", "os.rename"} and word in str(arguments[1]):
            os._exit(9)

    checkpoints = ckptptr.open(url, attempt=0)
    checkpoints.save(b"published", step=0)
    sys.addaudithook(watch)
    checkpoints.save(b"never published", step=99)


def killed(word: str, url: str) -> None:
    """A process that dies in its save."""
    done = subprocess.run([sys.executable, __file__, "--die", word, url], check=False)
    assert done.returncode == 9


def train(url: str, scratch: Path) -> None:
    """Two attempts; a pin; expired checkpoints; two orphans."""
    killed("manifests", url)
    killed("LATEST", url)
    with ckptptr.open(url, attempt=0, retention=KEPT) as checkpoints:
        for step in range(1, 6):
            metadata = {"loss": 1 / step, "tags": ["a", None]}
            made = checkpoints.save(folder_of(step, scratch), step=step, metadata=metadata)
            if step == 1:
                checkpoints.pin(made.reference, note="the good one")
            checkpoints.wait()
    with ckptptr.open(url, attempt=1, retention=KEPT) as checkpoints:
        checkpoints.restore(scratch / "restored")
        for step in (6, 7):
            added = scratch / "added.txt"
            added.write_text(f"added at step {step}")
            checkpoints.save(added, step=step)
            checkpoints.wait()


def lose_latest(url: str) -> None:
    """A LATEST that cannot be read; an attempt that claims its number, copies forward and saves."""
    latest = Path(url, "LATEST")
    latest.write_bytes(latest.read_bytes()[:40])
    with ckptptr.open(url, retention=KEPT) as checkpoints:
        checkpoints.restore()
        checkpoints.wait()  # copied forward
        checkpoints.save(b"bytes of step 8", step=8)
        checkpoints.wait()


def choose(url: str) -> None:
    """A person goes back to the oldest checkpoint, and drops the newest."""
    newest, _, oldest = (kept["checkpoint"] for kept in history_of(url))
    run("use", url, oldest, "--note", "for the paper")
    run("drop", url, newest, "--yes")


def save_parts(url: str, scratch: Path) -> None:
    """Two ranks make two checkpoints; one of them dies in the third."""
    ranks = [ckptptr.open(url, attempt=0, round="round-1", retention=KEPT) for _ in range(2)]

    def save(rank: int, step: int) -> None:
        shard = scratch / f"shard-{rank}"
        shard.write_text(f"{step} of {rank}")
        parts = ranks[rank].parts(rank, 2)
        if step == 3:
            parts.contribute(shard, step=step)
        else:
            parts.save(shard, step=step, metadata={"rank": rank})

    for step in (1, 2):
        threads = [threading.Thread(target=save, args=(rank, step)) for rank in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    save(0, 3)
    for checkpoints in ranks:
        checkpoints.close()


def history_of(url: str) -> list[Said]:
    """What this version retains and restores of a node, the newest first."""
    with ckptptr.open(url, read_only=True) as checkpoints, tempfile.TemporaryDirectory() as scratch:
        return [
            {
                "checkpoint": kept.reference,
                "step": kept.step,
                "attempt": kept.attempt,
                "pinned": kept.pinned,
                "files": read(Path(str(checkpoints.restore(f"{scratch}/{seq}", checkpoint=kept.reference)))),
            }
            for seq, kept in enumerate(checkpoints.history())
        ]


def write(place: Path) -> None:
    """Write `place/store` and `place/said.json`."""
    store = place / "store"
    urls = {name: str(store / key) for name, key in NODES.items()}
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("plain", "flyte"):
            train(urls[name], Path(scratch, name))
        lose_latest(urls["plain"])
        choose(urls["flyte"])
        if hasattr(ckptptr.Checkpoints, "parts"):
            save_parts(urls["parts"], Path(scratch))
        else:
            del urls["parts"]
    said = {NODES[name]: history_of(url) for name, url in urls.items()}
    for lock in store.rglob(".ckptptr-*"):
        shutil.rmtree(lock) if lock.is_dir() else lock.unlink()
    zeros = sorted(path for path in store.rglob("large.bin") if path.is_file())
    for path in zeros:
        assert path.read_bytes() == bytes(LARGE)
        path.unlink()
    sizes = {path.relative_to(store).as_posix(): LARGE for path in zeros}
    text = json.dumps({"nodes": said, "zeros": sizes}, indent=1, ensure_ascii=False)
    (place / "said.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    socket.gethostname = lambda: "trainer"
    if sys.argv[1] == "--die":
        die_in_save(*sys.argv[2:])
    write(Path(sys.argv[1]).absolute())
