"""Attempts of a Flyte node, run as Flyte runs them: the real `pyflyte-execute`, the paths of Flyte.

    node = SimulatedNode("counter_task", "count_to", root="/tmp/bucket", folder="examples", inputs={"n": 10})
    node.run(0, in_save(4))        # SIGKILL in the middle of the 4th save
    node.run(1, before_python())
    assert node.run(2).outputs == {"o0": "counted from 3 to 10"}

It needs no cluster: paths, arguments and environment are computed here as Flyte's propeller computes
them. What happens in the pod is real. `ckptptr.testing.life` runs attempt after attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptptr.nodes.flyte_paths import HOME, NodePrefix, fixed_length_id, node_uid, shard
from ckptptr.stores.open import filesystem_at
from ckptptr.testing.faults import Fault
from ckptptr.testing.literals import Scalar, decode_error, decode_outputs, encode_inputs
from ckptptr.testing.outcome import Attempt
from ckptptr.testing.simulated import Simulated, script

__all__ = ["Attempt", "Fault", "SimulatedNode"]

_RESOLVER = "flytekit.core.python_auto_container.default_task_resolver"
_MAP_RESOLVER = "flytekit.core.array_node_map_task.ArrayNodeMapTaskResolver"


@dataclass(frozen=True, slots=True)
class SimulatedNode(Simulated):
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

    def _told(self, attempt: int) -> dict[str, str]:
        return {
            "FLYTE_INTERNAL_EXECUTION_ID": self.execution,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.domain,
            "FLYTE_INTERNAL_TASK_PROJECT": self.project,
            "FLYTE_INTERNAL_TASK_DOMAIN": self.domain,
            "FLYTE_INTERNAL_TASK_NAME": f"{self.module}.{self.task}",
            "FLYTE_INTERNAL_TASK_VERSION": "v1",
            "FLYTE_ATTEMPT_NUMBER": str(attempt),
            **({} if self.index is None else _array_index(self.index)),
        }

    def _decoded(
        self, outputs: bytes | None, error: bytes | None
    ) -> tuple[dict[str, Scalar] | None, str, str]:
        kind, message = decode_error(error) if error is not None else ("", "")
        return None if outputs is None else decode_outputs(outputs), kind, message

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
            script(program),
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
        filesystem, path = filesystem_at(url, self.storage_options)
        if not filesystem.exists(path):
            filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(archive), path)
        destination = str(self._working_directory(scratch))
        return [
            script("pyflyte-fast-execute"),
            *("--additional-distribution", url),
            *("--dest-dir", destination, "--"),
        ]


def _array_index(index: int) -> dict[str, str]:
    return {"BATCH_JOB_ARRAY_INDEX_VAR_NAME": "FLYTE_K8S_ARRAY_INDEX", "FLYTE_K8S_ARRAY_INDEX": str(index)}
