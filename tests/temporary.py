"""One folder for all temporary files of a run, which goes at its end: flytekit leaves two in each process.

pytest's own stay where they are, for a look at what failed. The workers of xdist and all programs that a test
starts use the same folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

if not IS_WORKER:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="ckptptr-tests-")


@pytest.hookimpl(trylast=True)  # when the workers have ended
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Nothing of ours is left there: no snapshot, no restored folder, no server's folder."""
    if IS_WORKER:
        return
    from ckptptr.hidden import remove_left_behind
    from ckptptr.lifetime.temporary import PREFIX

    folder = Path(tempfile.gettempdir())
    remove_left_behind(folder, PREFIX)  # of a worker that was killed, since it was slow to end
    left = sorted(name for name in os.listdir(folder) if "ckptptr-" in name)
    shutil.rmtree(folder, ignore_errors=True)
    if left:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        reporter.write_line(f"left in the temporary folder: {', '.join(left)}", red=True)
