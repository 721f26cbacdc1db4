"""SIGTERM in a pod: one last save, an error that Flyte retries, and nothing that the next attempt repeats."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from ckptptr.stores.open import open_store
from ckptptr.testing.attempts import SimulatedNode
from tests.flyte.stepping import Stepping, stepping_node

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


class AsPid1(SimulatedNode):
    """Each attempt is the first process of a PID namespace of its own, as in a container."""

    def _command(self, attempt: int, scratch: Path) -> list[str]:
        unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
        if os.geteuid() != 0:
            unshare.append("--map-root-user")
        return [*unshare, *super()._command(attempt, scratch)]


class InContainer(Stepping):
    def send(self, number: signal.Signals) -> None:
        """As the kubelet does: from outside of the namespace."""
        (child,) = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        assert Path(f"/proc/{child}/status").read_text().split("NSpid:")[1].split("\n")[0].split()[-1] == "1"
        os.kill(int(child), number)


def test_the_last_save_is_confirmed_and_the_next_attempt_repeats_nothing(tmp_path: Path) -> None:
    node = stepping_node(tmp_path, "step_until_preempted", inputs={"deadline": 20.0})
    with Stepping(node, 0) as first:
        assert first.answer() == "restored nothing"
        for step in (1, 2, 3):
            first.order(f"compute {step}")
        first.send(signal.SIGTERM)
        ended = first.end()
    assert ended.kind == "RECOVERABLE", ended.log
    assert "PreemptedError" in ended.error
    assert "by SIGTERM; the last save is confirmed, LATEST is on step 3" in ended.error
    assert "ckptptr: this process is told to end by SIGTERM; " in ended.log
    with Stepping(node, 1) as second:
        assert second.answer() == "restored 3"


def test_a_library_that_installs_its_own_handler_takes_no_signal_from_the_block(tmp_path: Path) -> None:
    node = stepping_node(tmp_path, "step_until_preempted", inputs={"deadline": 20.0})
    with Stepping(node, 0) as first:
        first.answer()
        for order in ("library", "save 1", "compute 2"):
            first.order(order)
        first.send(signal.SIGTERM)
        ended = first.end()
    assert ended.kind == "RECOVERABLE", ended.log
    assert "the last save is confirmed, LATEST is on step 2" in ended.error
    assert "inside the on_preemption block: stepping._steps." in ended.log
    assert "the library was told" in ended.log


def test_as_process_1_of_its_container_it_is_told_too(tmp_path: Path) -> None:
    node = stepping_node(tmp_path, "step_until_preempted", kind=AsPid1, inputs={"deadline": 20.0})
    with InContainer(node, 0) as first:
        first.answer()
        first.order("compute 7")
        first.send(signal.SIGTERM)
        ended = first.end()
    assert ended.kind == "RECOVERABLE", ended.log
    assert "the last save is confirmed, LATEST is on step 7" in ended.error


def test_as_process_1_without_the_block_the_kernel_keeps_the_signal_to_itself(tmp_path: Path) -> None:
    with InContainer(stepping_node(tmp_path, kind=AsPid1), 0) as first:
        first.answer()
        first.send(signal.SIGTERM)
        assert first.order("save 1") == "done 1"
        first.tell("end")
        assert first.end().outputs == {"o0": "from nothing"}


def test_an_upload_that_hangs_is_abandoned_the_pod_ends_in_time_and_the_last_whole_one_is_found(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    from tests.servers.proxy import Rule

    server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")
    proxy = request.getfixturevalue("s3_proxy")
    options = {"key": server.access_key, "secret": server.secret_key, "endpoint_url": proxy.endpoint}
    node = stepping_node(
        tmp_path,
        "step_until_preempted",
        inputs={"deadline": 2.0},
        root=f"s3://{bucket}/{tmp_path.name}",
        storage_options=options,
        environ={
            "FLYTE_AWS_ENDPOINT": proxy.endpoint,
            "FLYTE_AWS_ACCESS_KEY_ID": server.access_key,
            "FLYTE_AWS_SECRET_ACCESS_KEY": server.secret_key,
        },
    )
    store, prefix = open_store(node.prefix, storage_options=options)
    with Stepping(node, 0) as first:
        first.answer()
        first.order("save 1")
        before = store.read(f"{prefix}/LATEST")[0]
        proxy.add(Rule(method="PUT", path="/_flytecheckpoints/data/", hang=True, times=None))
        first.tell("save 2")
        while (
            proxy.log[-1].method != "PUT"
            or "/_flytecheckpoints/" not in proxy.log[-1].path
            or proxy.log[-1].status
        ):
            time.sleep(0.01)
        first.send(signal.SIGTERM)
        began = time.monotonic()
        ended = first.end()
        assert time.monotonic() - began < 2 + 5
    assert ended.kind == "RECOVERABLE", ended.log
    assert "the last save was abandoned after 2.0 s, LATEST stays on step 1" in ended.error
    assert store.read(f"{prefix}/LATEST")[0] == before
    assert json.loads(before)["step"] == 1
    proxy.reset()
    with Stepping(node, 1) as second:
        assert second.answer() == "restored 1"
