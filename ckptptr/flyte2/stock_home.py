"""On a disk, what the stock SDK saved at the path of our own home: a file where we need a folder.

A cloud has room for both. Here the file moves into the folder that takes its place, which is then a plain
checkpoint: an attempt that restarts in place with ckptptr resumes from it.
"""

from __future__ import annotations

import os
from contextlib import suppress

from ckptptr.protocol.names import BYTES_NAME


def make_room(home: str) -> None:
    """Turn the file at `home` into a folder with that file. A kill in between is mended by the next call, and
    several processes may call it at once."""
    aside = f"{home}.stock"
    with suppress(FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError):
        if os.path.isfile(home):
            os.makedirs(aside, exist_ok=True)
            os.rename(home, os.path.join(aside, BYTES_NAME))
        if os.path.isdir(aside) and not os.path.lexists(home):
            os.rename(aside, home)
