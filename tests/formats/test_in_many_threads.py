"""msgspec crashes the process if two threads are the first to need a type: it has to be ready before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

STORE = Path(__file__).parent / "ckptptr-1" / "store"
READ = """
import sys
from pathlib import Path
from ckptptr.protocol.manifest import Manifest
from ckptptr.protocol.names import CheckpointId
from ckptptr.protocol.pointer import Pointer

stored, latest = (Path(name) for name in sys.argv[1:])
called = set()
sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_filename))
Manifest.decode(stored.read_bytes(), CheckpointId.match(stored.stem), "the manifest")
Pointer.decode(latest.read_bytes(), "LATEST")
sys.setprofile(None)
print([name for name in called if "msgspec" in name])  # Python code of msgspec works types out
"""


def test_the_first_read_of_a_process_works_out_no_type() -> None:
    names = [str(next(STORE.glob("attempts/0/manifests/*2.json"))), str(STORE / "LATEST")]
    done = subprocess.run([sys.executable, "-c", READ, *names], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
