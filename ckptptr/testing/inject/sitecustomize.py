"""Faults inside an unchanged `pyflyte-execute`: `ckptptr.testing.attempts` puts this first on PYTHONPATH.

Python imports a module of this name when it starts. The environment says what to do; without it, this
does nothing.
"""

import gc
import os

if "CKPTPTR_TESTING_FAULTS" in os.environ:
    gc.set_threshold(100_000, 20, 20)  # imports make no garbage: this saves a tenth of the start

    from ckptptr.testing import injected

    injected.install(os.environ)
