"""What is simulated alike for both SDKs of Flyte: a pod in a folder of its own, and what it leaves."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from ckptptr.settings import TESTING_FAULTS, TESTING_LOG
from ckptptr.stores.open import filesystem_at
from ckptptr.testing.deaths import Death, before_python
from ckptptr.testing.faults import Fault
from ckptptr.testing.literals import Scalar
from ckptptr.testing.outcome import Attempt
from ckptptr.testing.pod import Remains, run_pod

_INJECT = Path(__file__).with_name("inject")
_EVENTS = "events"


class Simulated:
    """A node whose attempts can be run one by one, and killed.

    A subclass has these as fields. Each pod has a new working directory with links to the entries of
    `folder` (in the fast form, a copy): no attempt finds the files of another one there. `environ` is added
    to the environment of the pod. With `storage_options` this process reads outputs and errors from `root`.
    """

    __slots__ = ()

    module: str
    task: str
    root: str
    folder: str
    inputs: Mapping[str, Scalar | list[Scalar]]
    environ: Mapping[str, str]
    storage_options: Mapping[str, Any]

    first_attempt: ClassVar[int] = 0
    """The number of the first attempt."""

    @property
    @abstractmethod
    def fast(self) -> bool:
        """Whether the pod gets the code from `root`."""

    @property
    @abstractmethod
    def prefix(self) -> str:
        """The node prefix."""

    @abstractmethod
    def home(self, attempt: int) -> str:
        """What Flyte passes as `--checkpoint-path`."""

    @abstractmethod
    def outputs_at(self, attempt: int) -> str:
        """The folder of outputs and errors of an attempt."""

    @abstractmethod
    def _command(self, attempt: int, scratch: Path) -> list[str]:
        """The command line of the pod."""

    @abstractmethod
    def _told(self, attempt: int) -> dict[str, str]:
        """What Flyte puts into the environment of the pod."""

    @abstractmethod
    def _decoded(
        self, outputs: bytes | None, error: bytes | None
    ) -> tuple[dict[str, Scalar] | None, str, str]:
        """The outputs, and the kind and the message of the error."""

    def run(
        self, attempt: int, *troubles: Fault | Death | None, timeout: float = 120, **environ: str
    ) -> Attempt:
        """Run an attempt to its end.

        Args:
            troubles: a death, and faults of ckptptr's requests to the store. A kill is a real SIGKILL of
                the whole pod.
            timeout: in seconds; then the pod is killed.
            environ: additions to the environment, for this attempt only.
        """
        death = next((trouble for trouble in troubles if isinstance(trouble, Death)), None)
        faults = [trouble for trouble in troubles if isinstance(trouble, Fault)]
        if death and death.fault:
            faults.append(death.fault)
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name).resolve()
            remains = run_pod(
                self._command(attempt, scratch),
                folder=str(self._working_directory(scratch)),
                environ=self._environ(attempt, faults, scratch) | environ,
                record=scratch / _EVENTS,
                death=death,
                timeout=timeout,
            )
        return self._attempt(attempt, remains, death)

    def die_before_python(self, attempt: int) -> Attempt:
        """Start an attempt and kill it before its interpreter runs, as an eviction does."""
        return self.run(attempt, before_python())

    def _working_directory(self, scratch: Path) -> Path:
        working = scratch / "root"
        if not working.exists():
            working.mkdir()
            for entry in () if self.fast else Path(self.folder).iterdir():
                (working / entry.name).symlink_to(entry.resolve())
        return working

    def _environ(self, attempt: int, faults: Sequence[Fault], scratch: Path) -> dict[str, str]:
        own_code = [] if self.fast else [os.path.abspath(self.folder)]
        temporary = scratch / "tmp"
        temporary.mkdir()
        path = os.pathsep.join([str(_INJECT), *own_code, os.environ.get("PYTHONPATH", "")])
        return {
            **os.environ,
            "PYTHONPATH": path,
            TESTING_FAULTS.name: json.dumps([_arguments(fault) for fault in faults]),
            TESTING_LOG.name: str(scratch / _EVENTS),
            "TMPDIR": str(temporary),
            **self._told(attempt),
            **self.environ,
        }

    def _attempt(self, number: int, remains: Remains, death: Death | None) -> Attempt:
        outputs, kind, message = self._decoded(
            self._read(number, "outputs.pb"), self._read(number, "error.pb")
        )
        return Attempt(
            number=number,
            signal=max(-remains.returncode, 0),
            exit_code=max(remains.returncode, 0),
            outputs=outputs,
            error=message,
            kind=kind,
            log=remains.log,
            events=remains.events,
            seconds=remains.seconds,
            death=death,
            timed_out=remains.timed_out,
        )

    def _read(self, attempt: int, name: str) -> bytes | None:
        filesystem, path = filesystem_at(f"{self.outputs_at(attempt)}/{name}", self.storage_options)
        try:
            body: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            return None
        return body


def script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _arguments(fault: Fault) -> dict[str, Any]:
    if fault.error is not None:
        raise ValueError("an exception cannot be passed to another process")
    return asdict(fault)
