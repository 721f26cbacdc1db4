"""The main job on servers that do not speak all of S3: the real `pyflyte-execute`, a real server, and a proxy
that refuses what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.testing.attempts import Fault
from tests.flyte.places import Place
from tests.servers import old_s3
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers

OURS = "/(_ckptptr|.*_flytecheckpoints)/.*"  # and not what flytekit itself writes
SWITCHES = dict.fromkeys(("request_checksum_calculation", "response_checksum_validation"), "when_required")
"""What users of such servers set, so that stock flytekit can read and write there."""


@pytest.mark.parametrize(
    ("switches", "rules", "saved"),
    [
        pytest.param(
            SWITCHES,
            [
                *old_s3.does_not_say_whether_there_is_more(),
                *old_s3.takes_no_conditions(),
                *old_s3.takes_no_checksums(),
                *old_s3.deletes_singly(status=400, code="MalformedXML"),
            ],
            1,  # each write without a condition is an upload: it dies between manifest and LATEST
            id="little of S3",
        ),
        pytest.param({}, old_s3.has_object_lock(OURS), 2, id="object lock"),
    ],
)
def test_an_attempt_ends_as_it_does_anywhere(
    on_s3: Place, s3_proxy: FaultProxy, switches: dict[str, str], rules: Sequence[Rule], saved: int
) -> None:
    for rule in (*old_s3.loses_the_reply_to_a_completion(OURS), *rules):
        s3_proxy.add(rule)
    environ = {f"AWS_{name.upper()}": value for name, value in switches.items()}
    environ["PADDED"] = str(17 << 20)  # too large for one request
    node = replace(
        on_s3.node,
        module="padded_counter",
        folder=str(Path(__file__).parent / "tasks"),
        inputs={"n": 4},
        environ={**on_s3.node.environ, **environ},
        storage_options={**on_s3.node.storage_options, "config_kwargs": switches},
    )
    assert node.run(0, Fault("kill", op="upload", nth=3, when="after")).signal == 9
    attempt = node.run(1)
    assert attempt.outputs == {"o0": f"counted from {saved} to 4"}, attempt.log
    pointer = on_s3.pointer()
    assert (pointer["attempt"], pointer["fence"], pointer["held"]) == (1, 1, False)
    parts = [seen for seen in s3_proxy.log if "partNumber=2" in seen.path]
    assert {seen.status for seen in parts} == {200}
    has_obstore = sys.version_info >= (3, 11)  # which writes it so
    assert all(("?partNumber=2&" in seen.path) is has_obstore for seen in parts)
