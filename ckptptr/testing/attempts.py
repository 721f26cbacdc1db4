"""Attempts of a Flyte node, run as Flyte runs them: the real `pyflyte-execute`, the paths of Flyte.

    node = SimulatedNode("counter_task", "count_to", root="/tmp/bucket", folder="examples", inputs={"n": 10})
    node.run(0, Fault("kill", op="upload", nth=4, when="after"))   # SIGKILL in the middle of the 4th save
    node.die_before_python(1)
    assert node.run(2).outputs == {"o0": "counted from 3 to 10"}

No cluster: what Flyte's propeller decides (paths, arguments, environment) is computed here as it
computes it. What happens in the pod is real.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import fsspec

from ckptptr.flyte.paths import HOME, NodePrefix, fixed_length_id, node_uid, shard
from ckptptr.testing.faults import Fault
from ckptptr.testing.injected import FAULTS, LOG

Scalar: TypeAlias = str | int | float | bool

_RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
_MAP_RESOLVER = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver"
_INJECT = Path(__file__).with_name("inject")


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of one attempt.

    `signal` is the number of the signal that killed it; 0 where none did. `outputs` are those of
    the task, None where it did not finish; `error` the message of its error document and `kind`
    that document's kind (`RECOVERABLE`, `NON_RECOVERABLE`), empty where there is none. `requests`
    are the `(operation, key)` that ckptptr sent to the store, `log` what it printed.
    """

    number: int
    signal: int
    outputs: dict[str, Scalar] | None
    error: str
    kind: str
    requests: list[tuple[str, str]]
    log: str


@dataclass(frozen=True, slots=True)
class SimulatedNode:
    """One node of one execution, whose attempts can be run one by one, and made to die.

    Args:
        module, task: where the task is.
        root: raw-output base, a local folder or a URL; the metadata is kept below it too.
        folder: the working directory of the pod, where `module` can be imported.
        inputs: of the task, by name; of a map task lists, one element for each index.
        node: the path of node ids and, between them, parent attempts: `n0`, `n0/0/dn0`.
        index: of a map task; its pods run `pyflyte-map-execute`.
        environ: what the pod's environment has besides ours (credentials, settings).
        storage_options: with which this process reads outputs and errors from `root`.
    """

    module: str
    task: str
    root: str
    folder: str
    inputs: Mapping[str, Scalar | list[Scalar]] = field(default_factory=dict)
    execution: str = "axq2rsxnmht57kq9sxpt"
    node: str = "n0"
    index: int | None = None
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
        return node_uid(self.node if self.index is None else f"{self.node}/0/n{self.index}")

    def home(self, attempt: int) -> str:
        """What Flyte passes as `--checkpoint-path`."""
        uid = fixed_length_id(50, [self.execution, self.uid, str(attempt)])
        return f"{self.root}/{shard(uid)}/{uid}/{HOME}"

    def outputs_at(self, attempt: int) -> str:
        """What Flyte passes as `--output-prefix`."""
        execution = f"{self.project}-{self.domain}-{self.execution}"
        top, *below = self.node.split("/")
        below = below if self.index is None else [*below, "0", str(self.index)]
        path = "/".join([top, "data", *below, str(attempt)])
        return f"{self.root}/metadata/propeller/{execution}/{path}"

    def run(self, attempt: int, *faults: Fault, timeout: float = 120, **environ: str) -> Attempt:
        """Run an attempt to its end, whatever that is.

        Args:
            faults: what goes wrong with ckptptr's requests to the store; a `kill` is a real SIGKILL.
            timeout: in seconds; then it is killed.
            environ: more of the environment, for this attempt only.
        """
        with tempfile.TemporaryDirectory() as scratch:
            log = Path(scratch, "requests")
            process = self._start(attempt, Path(scratch), faults, {LOG: str(log), **environ})
            try:
                said, _ = process.communicate(timeout=timeout)
            finally:
                process.kill()
                process.wait()
            requests = log.read_text().splitlines() if log.exists() else []
            return self._attempt(attempt, process.returncode, said, requests)

    def die_before_python(self, attempt: int) -> Attempt:
        """Start an attempt and kill it before its interpreter has come up, as an eviction does."""
        with tempfile.TemporaryDirectory() as scratch:
            process = self._start(attempt, Path(scratch), (), {})
            process.send_signal(signal.SIGKILL)
            said, _ = process.communicate()
            return self._attempt(attempt, process.returncode, said, [])

    def _start(
        self, attempt: int, scratch: Path, faults: tuple[Fault, ...], environ: Mapping[str, str]
    ) -> subprocess.Popen[str]:
        inputs = scratch / "inputs.pb"
        inputs.write_bytes(_literals(self.inputs))
        path = os.pathsep.join([str(_INJECT), self.folder, os.environ.get("PYTHONPATH", "")])
        return subprocess.Popen(  # noqa: S603 - our own command line
            self._command(attempt, inputs),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": path,
                FAULTS: json.dumps([_arguments(fault) for fault in faults]),
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
                **environ,
            },
        )

    def _command(self, attempt: int, inputs: Path) -> list[str]:
        uid_folder = self.home(attempt).rpartition("/")[0]
        program, resolver = "pyflyte-execute", [_RESOLVER, "--"]
        if self.index is not None:
            program, resolver = (
                "pyflyte-map-execute",
                [_MAP_RESOLVER, "--", "vars", "", "resolver", _RESOLVER],
            )
        return [
            str(Path(sys.executable).with_name(program)),
            *("--inputs", str(inputs)),
            *("--output-prefix", self.outputs_at(attempt)),
            *("--raw-output-data-prefix", uid_folder),
            *("--checkpoint-path", self.home(attempt)),
            *("--prev-checkpoint", self.home(attempt - 1) if attempt else '""'),
            *("--resolver", *resolver, "task-module", self.module, "task-name", self.task),
        ]

    def _attempt(self, number: int, returncode: int, said: str, requests: list[str]) -> Attempt:
        outputs, error = self._read(number, "outputs.pb"), self._read(number, "error.pb")
        kind, message = _error(error) if error is not None else ("", "")
        return Attempt(
            number=number,
            signal=max(-returncode, 0),
            outputs=None if outputs is None else _scalars(outputs),
            error=message,
            kind=kind,
            requests=[tuple(json.loads(line)) for line in requests],
            log=said,
        )

    def _read(self, attempt: int, name: str) -> bytes | None:
        url = f"{self.outputs_at(attempt)}/{name}"
        filesystem, path = fsspec.url_to_fs(url, **{"use_listings_cache": False, **self.storage_options})
        try:
            body: bytes = filesystem.cat_file(path)
        except FileNotFoundError:
            return None
        return body


def _arguments(fault: Fault) -> dict[str, Any]:
    if fault.error is not None:
        raise ValueError("an exception cannot be handed to another process")
    return asdict(fault)


def _array_index(index: int) -> dict[str, str]:
    return {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": str(index)}


def _literals(values: Mapping[str, Scalar | list[Scalar]]) -> bytes:
    from flyteidl.core import literals_pb2 as idl

    def literal(value: Scalar | list[Scalar]) -> idl.Literal:
        match value:
            case list():
                return idl.Literal(collection=idl.LiteralCollection(literals=map(literal, value)))
            case bool():
                primitive = idl.Primitive(boolean=value)
            case int():
                primitive = idl.Primitive(integer=value)
            case float():
                primitive = idl.Primitive(float_value=value)
            case _:
                primitive = idl.Primitive(string_value=value)
        return idl.Literal(scalar=idl.Scalar(primitive=primitive))

    named = {name: literal(value) for name, value in values.items()}
    body: bytes = idl.LiteralMap(literals=named).SerializeToString()
    return body


def _scalars(body: bytes) -> dict[str, Scalar]:
    from flyteidl.core import literals_pb2 as idl

    primitives = {
        name: literal.scalar.primitive for name, literal in idl.LiteralMap.FromString(body).literals.items()
    }
    return {name: getattr(value, value.WhichOneof("value")) for name, value in primitives.items()}


def _error(body: bytes) -> tuple[str, str]:
    from flyteidl.core import errors_pb2

    error = errors_pb2.ErrorDocument.FromString(body).error
    return errors_pb2.ContainerError.Kind.Name(error.kind), error.message
