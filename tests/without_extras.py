"""A program, not a test module: what a user has who installed the package alone, without any extra.

`make test-pythons` runs it in an environment where nothing else is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import ckptptr


def refusal(url: str) -> str:
    try:
        ckptptr.open(url)
    except ckptptr.InvalidArgumentError as error:
        return str(error)
    return "none"


def shown(url: str) -> str:
    command = [sys.executable, "-m", "ckptptr.cli", "show", url]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


for url, extra in {"s3://b/x": "s3", "gs://b/x": "gcs", "abfs://b/x": "azure"}.items():
    for message in (refusal(url), shown(url)):
        assert f"pip install 'ckptptr[{extra}]'" in message, message
        assert "Traceback" not in message, message

with tempfile.TemporaryDirectory() as folder, ckptptr.open(folder) as checkpoints:
    checkpoints.save(b"state", step=1)
    restored = checkpoints.restore()
    assert restored is not None
    assert [file.read_bytes() for file in restored.iterdir()] == [b"state"]

assert "site-packages" in Path(ckptptr.__file__).parts, "this is not the built wheel"
