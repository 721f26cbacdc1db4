"""Attempts of an action of Flyte 2, run as Flyte 2 runs them: the real `a0`, the paths of its executor.

    action = SimulatedAction("flyte2_counter", "count_to", root="/tmp/b", folder="examples", inputs={"n": 9})
    action.run(1, in_save(4))      # SIGKILL in the middle of the 4th save
    action.run(2, before_python())
    assert action.run(3).outputs == {"o0": "counted from 3 to 9"}

Attempts count from 1. `run` with the same number again is what Flyte 2 does after a preemption.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ckptptr.nodes.flyte_paths import HOME, NodePrefix, action_node, shard
from ckptptr.stores.open import filesystem_at
from ckptptr.testing.code_bundles import Kind, build
from ckptptr.testing.literals import Scalar, decode_error_of_2, decode_outputs_of_2, encode_inputs_of_2
from ckptptr.testing.simulated import Simulated, script

_RESOLVER = "flyte._internal.resolvers.default.DefaultTaskResolver"


@dataclass(frozen=True, slots=True)
class SimulatedAction(Simulated):
    """One action of one run. Its attempts can be run one by one, and killed.

    Args:
        module, task: where the task is.
        root: a local folder or a URL. Flyte 2 puts a shard right after the bucket: on a cloud the homes are
            not below `root`, but below the bucket.
        folder: where `module` can be imported. See `Simulated`.
        inputs: of the task, by name.
        run_name, action: the names of the run, and of the action in it.
        previous: what is passed to attempt 1 as the previous checkpoint.
        bundle: the pods get the code as a code bundle in `root`, as `flyte run` (`tgz`) or a notebook (`pkl`)
            sends it; else they import it from `folder`. It is made once for each run.
        environ: additions to the environment of the pod (credentials, settings).
        storage_options: for this process, to read outputs and errors from `root`.
    """

    module: str
    task: str
    root: str
    folder: str
    inputs: Mapping[str, Scalar | list[Scalar]] = field(default_factory=dict)
    run_name: str = "rx8k2jxq9sxpt"
    action: str = "a0"
    previous: str = ""
    bundle: Kind | None = None
    project: str = "flytesnacks"
    domain: str = "development"
    environ: Mapping[str, str] = field(default_factory=dict)
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    first_attempt = 1

    @property
    def fast(self) -> bool:
        return self.bundle is not None

    @property
    def base(self) -> str:
        """What Flyte passes as `--run-base-dir`."""
        return "/".join((self.root, "org", self.project, self.domain, self.run_name))

    @property
    def sharded(self) -> str:
        """The base with its shard."""
        scheme, _, path = self.base.partition("://") if "://" in self.base else ("", "", self.base)
        above = f"{scheme}://{path.partition('/')[0]}" if scheme else self.root
        return f"{above}/{shard(f'{self.run_name}-{self.action}')}{self.base[len(above) :]}"

    @property
    def prefix(self) -> str:
        return NodePrefix(
            root=self.sharded,
            project=self.project,
            domain=self.domain,
            execution=self.run_name,
            node=action_node(self.action),
        ).prefix

    def home(self, attempt: int) -> str:
        return f"{self.sharded}/{self.action}/{attempt}/{HOME}"

    def outputs_at(self, attempt: int) -> str:
        return f"{self.base}/{self.action}/{attempt}"

    def _told(self, attempt: int) -> dict[str, str]:
        return {
            "ACTION_NAME": self.action,
            "RUN_NAME": self.run_name,
            "FLYTE_INTERNAL_EXECUTION_PROJECT": self.project,
            "FLYTE_INTERNAL_EXECUTION_DOMAIN": self.domain,
            "_U_ORG_NAME": "org",
            "_U_RUN_BASE": self.base,
            "FLYTE_ATTEMPT_NUMBER": str(attempt - 1),
        }

    def _command(self, attempt: int, scratch: Path) -> list[str]:
        inputs, outputs = scratch / "inputs.pb", self.outputs_at(attempt)
        inputs.write_bytes(encode_inputs_of_2(self.inputs))
        if "://" not in outputs:
            Path(outputs).mkdir(parents=True, exist_ok=True)
        return [
            *(script("a0"), "--inputs", str(inputs), "--outputs-path", outputs, "--version", "v1"),
            *("--raw-data-path", self.home(attempt).rpartition("/")[0]),
            *("--checkpoint-path", self.home(attempt)),
            *("--prev-checkpoint", self.home(attempt - 1) if attempt > 1 else self.previous),
            *("--run-name", "{{.runName}}", "--name", "{{.actionName}}"),
            *("--run-start-time", "{{.runStartTime}}"),
            *self._code(),
        ]

    def _code(self) -> list[str]:
        """Where the pod finds the task."""
        found = ["--resolver", _RESOLVER, "mod", self.module, "instance", self.task]
        if self.bundle is None:
            return found
        url = f"{self.root}/code/{self.run_name}/{self.module}.{self.task}.{self.bundle}.gz"
        filesystem, path = filesystem_at(url, self.storage_options)
        if not filesystem.exists(path):
            with tempfile.TemporaryDirectory() as into:
                made = build(self.bundle, self.module, self.task, folder=self.folder, into=Path(into))
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                filesystem.put_file(str(made), path)
        return [f"--{self.bundle}", url, "--dest", ".", *(found if self.bundle == "tgz" else ())]

    def _decoded(
        self, outputs: bytes | None, error: bytes | None
    ) -> tuple[dict[str, Scalar] | None, str, str]:
        kind, message = decode_error_of_2(error) if error is not None else ("", "")
        return None if outputs is None else decode_outputs_of_2(outputs), kind, message
