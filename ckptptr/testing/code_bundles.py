"""Code bundles of Flyte 2, made by the SDK: what `flyte run` sends to a pod whose image has no code.

- `tgz`: the files of a folder, which the pod unpacks.
- `pkl`: the pickled task with its package, as a notebook sends it; the pod imports none of it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal, TypeAlias

from ckptptr.errors import InvalidArgumentError

Kind: TypeAlias = Literal["tgz", "pkl"]

_BUILD = """
import asyncio, importlib, pathlib, sys
kind, module, task, into = sys.argv[1:]
try:
    from flyte._code_bundle import bundle
    here, into = pathlib.Path.cwd(), pathlib.Path(into)
    if kind == "tgz":
        making = bundle.build_code_bundle(here, dryrun=True, copy_bundle_to=into, copy_style="all")
    else:
        import cloudpickle
        found = getattr(importlib.import_module(module), task)
        cloudpickle.register_pickle_by_value(sys.modules[module.partition(".")[0]])
        making = bundle.build_pkl_bundle(found, upload_to_controlplane=False, copy_bundle_to=into)
    asyncio.run(making)
except BaseException as error:
    sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
"""


def build(kind: Kind, module: str, task: str, *, folder: str, into: Path) -> Path:
    """Make the bundle in an empty folder. In a process of its own: the module may import anything.

    Raises:
        InvalidArgumentError: the SDK cannot make it.
    """
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _BUILD, kind, module, task, str(into)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise InvalidArgumentError(f"Flyte makes no code bundle of {module}:{task} in {folder}: {why}")
    (made,) = into.iterdir()
    return made
