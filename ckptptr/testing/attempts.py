"""Attempts of a Flyte node, run as Flyte runs them: the real `pyflyte-execute`, the paths of Flyte.

    node = SimulatedNode("counter_task", "count_to", root="/tmp/bucket", folder="examples", inputs={"n": 10})
    node.run(0, in_save(4))        # SIGKILL in the middle of the 4th save
    node.run(1, before_python())
    assert node.run(2).outputs == {"o0": "counted from 3 to 10"}

It needs no cluster: paths, arguments and environment are computed here as Flyte's propeller computes
them. What happens in the pod is real. `ckptptr.testing.life` runs attempt after attempt.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from ckptptr.nodes.flyte_paths import HOME, NodePrefix, fixed_length_id, node_uid, shard
from ckptptr.settings import TESTING_FAULTS, TESTING_LOG
from ckptptr.testing.deaths import Death, before_python
from ckptptr.testing.faults import Fault
from ckptptr.testing.literals import Scalar, decode_error, decode_outputs, encode_inputs
from ckptptr.testing.outcome import Attempt
from ckptptr.testing.pod import Remains, run_pod

_RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
_MAP_RESOLVER = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver"
_INJECT = Path(__file__).with_name("inject")
_EVENTS = "events"


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """One node of one execution. Its attempts can be run one by one, and killed.

    Args:
        module, task: where the task is.
        root: raw-output base, a local folder or a URL. The metadata is below it too.
        folder: where `module` can be imported. Each pod has a new working directory with links to its
            entries (in the fast form, a copy): no attempt finds the files of another one there.
        inputs: of the task, by name; for a map task lists, with one element for each index.
        node: the path of node ids and, between them, parent attempts: `n0`, `n0/0/dn0`.
        index: of a map task; its pods run `pyflyte-map-execute`.
        parent_attempt: the attempt of the map task that the index belongs to.
        fast: as `pyflyte run` registers it: the pod gets the code of `folder` as an archive in `root`,
            and `pyflyte-fast-execute` unpacks it and starts the task as its child.
        previous: what recover mode passes to attempt 0: the last home in the recovered execution.
        uid_limit: 47 for a Ray task.
        infix: path segments that Union's builds of Flyte put between shard and uid.
        environ: additions to the environment of the pod (credentials, settings).
        storage_options: for this process, to read outputs and errors from `root`.
    """

    module: str
    task: str
    root: str
    folder: str
    inputs: Mapping[str, Scalar | list[Scalar]] = field(default_factory=dict)
    execution: str = "axq2rsxnmht57kq9sxpt"
    node: str = "n0"
    index: int | None = None
    parent_attempt: int = 0
    fast: bool = False
    previous: str = ""
    uid_limit: int = 50
    infix: tuple[str, ...] = ()
    project: str = "flytesnacks"
    domain: str = "development"
    environ: Mapping[str, str] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        """The node prefix."""
        return NodePrefix(
            root=self.root,
            project=self.project,
            domain=self.domain,
            execution=self.execution,
            node=self.uid,
        ).prefix

    @property
    def uid(self) -> str:
        """Flyte's unique id of the node; a map index is a child of its map task."""
        below = "" if self.index is None else f"/{self.parent_attempt}/n{self.index}"
        return node_uid(f"{self.node}{below}")

    def home(self, attempt: int) -> str:
        """What Flyte passes as `--checkpoint-path`."""
        uid = fixed_length_id(self.uid_limit, [self.execution, self.uid, str(attempt)])
        return "/".join((self.root, shard(uid), *self.infix, uid, HOME))

    def outputs_at(self, attempt: int) -> str:
        """What Flyte passes as `--output-prefix`."""
        execution = f"{self.project}-{self.domain}-{self.execution}"
        top, *below = self.node.split("/")
        index = [] if self.index is None else [str(self.parent_attempt), str(self.index)]
        path = "/".join([top, "data", *below, *index, str(attempt)])
        return f"{self.root}/metadata/propeller/{execution}/{path}"

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
            "FLYTE_INTERNAL_EXECUTION_ID": self.execution,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.domain,
            "FLYTE_INTERNAL_TASK_PROJECT": self.project,
            "FLYTE_INTERNAL_TASK_DOMAIN": self.domain,
            "FLYTE_INTERNAL_TASK_NAME": f"{self.module}.{self.task}",
            "FLYTE_INTERNAL_TASK_VERSION": "v1",
            "FLYTE_ATTEMPT_NUMBER": str(attempt),
            **({} if self.index is None else _array_index(self.index)),
            **self.environ,
        }

    def _command(self, attempt: int, scratch: Path) -> list[str]:
        inputs = scratch / "inputs.pb"
        inputs.write_bytes(encode_inputs(self.inputs))
        previous = self.home(attempt - 1) if attempt else self.previous
        program, resolver = "pyflyte-execute", [_RESOLVER, "--"]
        if self.index is not None:
            program, resolver = (
                "pyflyte-map-execute",
                [_MAP_RESOLVER, "--", "vars", "", "resolver", _RESOLVER],
            )
        command = [
            _script(program),
            *("--inputs", str(inputs)),
            *("--output-prefix", self.outputs_at(attempt)),
            *("--raw-output-data-prefix", self.home(attempt).rpartition("/")[0]),
            *("--checkpoint-path", self.home(attempt)),
            *("--prev-checkpoint", previous or '""'),
            *("--resolver", *resolver, "task-module", self.module, "task-name", self.task),
        ]
        return [*self._fast_form(scratch), *command] if self.fast else command

    def _fast_form(self, scratch: Path) -> list[str]:
        """The command before that of a task with fast registration; this also uploads the archive."""
        from flytekit.tools.fast_registration import fast_package

        archive = Path(fast_package(self.folder, scratch))
        url = f"{self.root}/fast/{archive.name}"
        filesystem, path = self._open(url)
        if not filesystem.exists(path):
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(archive), path)
        destination = str(self._working_directory(scratch))
        return [
            _script("pyflyte-fast-execute"),
            *("--additional-distribution", url),
            *("--dest-dir", destination, "--"),
        ]

    def _attempt(self, number: int, remains: Remains, death: Death | None) -> Attempt:
        outputs, error = self._read(number, "outputs.pb"), self._read(number, "error.pb")
        kind, message = decode_error(error) if error is not None else ("", "")
        return Attempt(
            number=number,
            signal=max(-remains.returncode, 0),
            exit_code=max(remains.returncode, 0),
            outputs=None if outputs is None else decode_outputs(outputs),
            error=message,
            kind=kind,
            log=remains.log,
            events=remains.events,
            seconds=remains.seconds,
            death=death,
            timed_out=remains.timed_out,
        )

    def _read(self, attempt: int, name: str) -> bytes | None:
        filesystem, path = self._open(f"{self.outputs_at(attempt)}/{name}")
        try:
            body: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            return None
        return body

    def _open(self, url: str) -> tuple[Any, str]:
        filesystem, path = fsspec.url_to_fs(url, **{"use_listings_cache": False, **self.storage_options})
        return filesystem, path


def _script(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _arguments(fault: Fault) -> dict[str, Any]:
    if fault.error is not None:
        raise ValueError("an exception cannot be passed to another process")
    return asdict(fault)


def _array_index(index: int) -> dict[str, str]:
    return {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": str(index)}
