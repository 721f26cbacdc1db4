"""The main job on servers that do not speak all of S3, where obstore sends all requests: the real `a0`."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ckptptr.testing.deaths import at_byte
from tests.flyte2.places import COUNTED_ON, Place
from tests.servers import old_s3
from tests.servers.proxy import FaultProxy, Rule

pytestmark = pytest.mark.servers

OURS = "/.*(_ckptptr|_flytecheckpoints).*"  # and not what the SDK itself writes


@pytest.mark.parametrize(
    ("rules", "refused"),
    [
        pytest.param(
            [
                *old_s3.does_not_say_whether_there_is_more(),
                *old_s3.takes_no_conditions(status=405, code="MethodNotAllowed"),
                *old_s3.deletes_singly(status=400, code="MissingArgument"),
            ],
            5,  # a condition twice, each time also with a checksum; and one deletion of many
            id="little of S3",
        ),
        pytest.param(old_s3.has_object_lock(OURS), 1, id="object lock"),
    ],
)
def test_an_attempt_ends_as_it_does_anywhere_and_each_process_learns_once(
    on_s3: Place, s3_proxy: FaultProxy, rules: Sequence[Rule], refused: int
) -> None:
    for rule in rules:
        s3_proxy.add(rule)
    first = on_s3.action.run(1, at_byte(0, of_save=4), FLYTE_AWS_ENDPOINT=s3_proxy.endpoint)
    assert first.signal == 9, first.log
    second = on_s3.action.run(2, FLYTE_AWS_ENDPOINT=s3_proxy.endpoint)
    assert second.outputs == COUNTED_ON, second.log
    assert sum(seen.status in (400, 405) for seen in s3_proxy.log) == 2 * refused
