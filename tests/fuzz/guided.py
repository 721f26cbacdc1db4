"""`python -m tests.fuzz.guided 10`: atheris looks for inputs that reach new code of ckptptr, for ten minutes.

It is not installed by `make setup`: `pip install atheris`. The first case that is wrong is kept as it is.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["ckptptr"]):
    import click

    from ckptptr import cli
    from tests.fuzz.__main__ import options
    from tests.fuzz.fuzzer import TIME_IS_OVER, Fuzzer, limited
    from tests.fuzz.operations import ready

    for name in cli.main.list_commands(click.Context(cli.main)):  # they are imported when they are used
        cli.main.get_command(click.Context(cli.main), name)

_LONGEST = 8192
"""Bytes of an input. What hypothesis makes a whole case of is seldom below 100."""
_FIRST = 64
"""Inputs to begin with, drawn at random."""


def main() -> None:
    told = options(__doc__)
    end = time.monotonic() + told.minutes * 60
    folder = Path(tempfile.mkdtemp(prefix="ckptptr-fuzz-"))
    fuzzer = Fuzzer(folder / "scratch")
    test: Any = fuzzer.test(1)
    corpus, chance = folder / "corpus", random.Random(told.seed)
    corpus.mkdir()
    for number in range(_FIRST):
        (corpus / str(number)).write_bytes(chance.randbytes(_LONGEST))

    def leave(why: str) -> None:
        """libFuzzer ends a process without a word to Python."""
        fuzzer.tell(why)
        shutil.rmtree(folder)
        os._exit(int(fuzzer.wrong is not None))

    def one(data: bytes) -> None:
        if time.monotonic() > end:
            leave(TIME_IS_OVER)
        try:
            test.hypothesis.fuzz_one_input(data)
        except Exception:  # noqa: BLE001 - atheris would end the process, and nothing would be kept
            traceback.print_exc()
            leave("")

    with ready():
        limited()
        size = [f"-max_len={_LONGEST}", "-len_control=0", "-reduce_inputs=0"]
        atheris.Setup([sys.argv[0], f"-seed={told.seed % 2**31}", *size, "-timeout=0", str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
