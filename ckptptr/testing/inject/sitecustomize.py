"""Put first on PYTHONPATH by `ckptptr.testing.attempts`: faults inside an unchanged `pyflyte-execute`.

Python imports a module of this name when it starts. What to do comes from the environment; without
it, this does nothing.
"""

import gc
import os

if "CKPTPTR_TESTING_FAULTS" in os.environ:
    gc.set_threshold(100_000, 20, 20)  # what imports make is no garbage: a tenth of the time to start

    from ckptptr.testing import injected

    injected.install(os.environ)
