"""The main job with an access point of S3 as Flyte's raw-output prefix: the real `pyflyte-execute`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.flyte.places import COUNTED_ON, IN_THE_MIDDLE_OF_SAVE_4, place_at
from tests.servers.s3 import ACCOUNT, ARN, access_point
from tests.servers.seaweed import Seaweed


@pytest.mark.servers
@pytest.mark.usefixtures("names_below_localhost")
def test_a_task_counts_on_after_a_kill(s3_server: Seaweed, s3_filesystem: Any) -> None:
    point = access_point(s3_filesystem)
    endpoint = f"http://localhost:{s3_server.port}"
    environ = {
        "FLYTE_AWS_ENDPOINT": endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": s3_server.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
    }
    options = {"key": s3_server.access_key, "secret": s3_server.secret_key, "endpoint_url": endpoint}
    place = place_at(f"s3://{ARN}/{point}/data", options, environ)
    node = replace(place.node, module="counter_at_localhost", folder=str(Path(__file__).parent / "tasks"))
    assert node.run(0, IN_THE_MIDDLE_OF_SAVE_4).signal == 9
    attempt = node.run(1)
    assert attempt.outputs == COUNTED_ON, attempt.log
    assert s3_filesystem.exists(f"{point}-{ACCOUNT}/data/_ckptptr")
