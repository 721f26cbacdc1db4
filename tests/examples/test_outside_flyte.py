"""The manifest and the batch script are read, and the very command in them is run here, and killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.texts import EXAMPLES, PROJECT, bash, commands, surroundings
from tests.sampling import sampled

PI = "done: pi is 3.14159"


def killed(command: Sequence[str], number: signal.Signals, *, environ: Mapping[str, str], group: bool) -> int:
    """Started, and sent a signal when it has saved step 10; how it ended."""
    with subprocess.Popen(
        command,
        cwd=PROJECT,
        env=surroundings(environ),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            assert "saved step 10\n" in iter(process.stdout.readline, "")
            (os.killpg if group else os.kill)(process.pid, number)
            return process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def begins_after(printed: str) -> tuple[int, int]:
    """Which attempt, and from where."""
    _, attempt, *_, step = printed.splitlines()[0].split()
    return int(attempt), int(step)


def test_it_runs_as_its_text_says_and_the_next_run_has_nothing_to_do(tmp_path: Path) -> None:
    (command,) = commands("train.py")
    command = command.replace("/tmp/", f"{tmp_path}/")
    assert PI in bash(command)
    assert begins_after(bash(command)) == (1, 200)


@pytest.fixture
def job() -> dict[str, Any]:
    return yaml.safe_load((EXAMPLES / "kubernetes_job.yaml").read_text())


def test_the_manifest_is_a_job_in_all_of_its_fields(job: dict[str, Any]) -> None:
    from kubernetes.client import ApiClient

    client = ApiClient()
    # By its private name: what `deserialize` takes differs from version to version.
    read = client._ApiClient__deserialize(job, "V1Job")
    assert client.sanitize_for_serialization(read) == job  # a field that Kubernetes does not know is lost


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGKILL, -9), pytest.param(signal.SIGTERM, 75, marks=pytest.mark.slow)]
)
def test_the_command_of_a_pod_goes_on_after_another_pod_was_killed(
    job: dict[str, Any], tmp_path: Path, number: signal.Signals, ends: int
) -> None:
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (base,) = container["env"]
    environ = {base["name"]: str(tmp_path), "JOB_COMPLETION_INDEX": "2"}
    assert killed(container["command"], number, environ=environ, group=False) == ends
    _, rule = job["spec"]["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["values"] == [75]

    done = subprocess.run(
        container["command"],
        cwd=PROJECT,
        env=surroundings(environ),
        capture_output=True,
        text=True,
        check=True,
    )
    attempt, step = begins_after(done.stdout)
    assert attempt == 1
    assert 10 <= step < 200
    assert PI in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a batch script: `srun` runs what it is given, `scontrol` notes it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, body in (("srun", 'exec "$@"'), ("scontrol", f'echo "$@" >> {tmp_path}/scontrol')):
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    return {
        "PATH": f"{programs}{os.pathsep}{surroundings()['PATH']}",
        "SLURM_JOB_ID": "4711",
        "CHECKPOINTS": str(tmp_path / "runs"),
    }


@pytest.mark.parametrize("restarts", sampled([0, 2]))
def test_slurm_is_asked_to_requeue_where_the_time_was_up_and_the_next_start_goes_on(
    slurm: dict[str, str], tmp_path: Path, restarts: int
) -> None:
    script = ["bash", str(EXAMPLES / "slurm.sbatch")]
    told = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
    # Slurm signals the steps and not the script: bash ignores the one that its child gets.
    ignoring = ["sh", "-c", 'trap "" USR1; exec "$@"', "sh"]
    assert killed([*ignoring, *script], signal.SIGUSR1, environ=slurm | told, group=True) == 75
    assert (tmp_path / "scontrol").read_text() == "requeue 4711\n"

    again = bash(" ".join(script), environ={**slurm, "SLURM_RESTART_COUNT": str(restarts + 1)})
    attempt, step = begins_after(again)
    assert attempt == restarts + 1
    assert 10 <= step < 200
    assert PI in again
    assert (tmp_path / "scontrol").read_text().count("requeue") == 1


@pytest.mark.slow
def test_a_node_that_fails_is_requeued_by_slurm_itself(slurm: dict[str, str], tmp_path: Path) -> None:
    script = ["bash", str(EXAMPLES / "slurm.sbatch")]
    assert killed(script, signal.SIGKILL, environ=slurm, group=True) == -9
    again = bash(" ".join(script), environ={**slurm, "SLURM_RESTART_COUNT": "1"})
    assert begins_after(again)[1] >= 10
    assert not (tmp_path / "scontrol").exists()
