"""The settings for the clouds are those that flytekit, Google's library and ckptptr read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from ckptptr.testing import SimulatedNode
from tests.examples.texts import EXAMPLES, bash, commands, imported

OPTIONS = {
    ("s3", "FLYTE_AWS_ACCESS_KEY_ID"): "key",
    ("s3", "FLYTE_AWS_SECRET_ACCESS_KEY"): "secret",
    ("s3", "FLYTE_AWS_ENDPOINT"): "client_kwargs",
    ("abfs", "FLYTE_AZURE_STORAGE_ACCOUNT_NAME"): "account_name",
    ("abfs", "FLYTE_AZURE_STORAGE_ACCOUNT_KEY"): "account_key",
}
"""The option of the filesystem that each variable becomes, by the protocol of the URL."""


def names(cloud: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (container,) = imported("clouds", monkeypatch).CLOUDS[cloud].pod_spec.containers
    return [variable.name for variable in container.env]


@pytest.mark.parametrize(("cloud", "protocol"), [("S3", "s3"), ("S3_ENDPOINT", "s3"), ("AZURE", "abfs")])
def test_each_variable_reaches_the_filesystem_that_flytekit_makes(
    cloud: str, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flytekit.core.data_persistence import get_fsspec_storage_options

    for name in names(cloud, monkeypatch):
        option = OPTIONS[protocol, name]
        without = get_fsspec_storage_options(protocol).get(option)
        with monkeypatch.context() as patch:
            patch.setenv(name, "a value")
            given = get_fsspec_storage_options(protocol)[option]
        assert given != without
        assert "a value" in str(given)


def test_googles_key_file_is_the_one_that_the_pod_mounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from google.auth import default, exceptions

    (container,) = imported("clouds", monkeypatch).GCS.pod_spec.containers
    (variable,), (mount,) = container.env, container.volume_mounts
    assert variable.value.startswith(f"{mount.mount_path}/")
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "nonsense"}))
    monkeypatch.setenv(variable.name, str(key))
    with pytest.raises(exceptions.DefaultCredentialsError, match=str(key)):
        default()


@pytest.mark.slow
def test_what_is_printed_is_a_pod_spec_for_each_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    (command,) = commands("clouds.py")
    printed = yaml.safe_load(bash(command))
    for cloud, spec in printed.items():
        assert [variable["name"] for variable in spec["containers"][0]["env"]] == names(cloud, monkeypatch)
        assert spec["terminationGracePeriodSeconds"] == 30
    assert set(printed) == {"S3", "S3_ENDPOINT", "GCS", "AZURE"}


@pytest.mark.servers
def test_with_those_of_s3_and_no_others_a_task_resumes_from_a_bucket(
    flyte_node: Callable[..., SimulatedNode],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    s3_server: Any,
    s3_bucket: str,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    values = [s3_server.access_key, s3_server.secret_key, s3_server.endpoint]
    options = {"key": values[0], "secret": values[1], "endpoint_url": values[2]}
    node = flyte_node(
        "counter_task",
        "count_to",
        folder=str(EXAMPLES),
        inputs={"n": 3},
        root=f"s3://{s3_bucket}/{tmp_path.name}",
        environ=dict(zip(names("S3_ENDPOINT", monkeypatch), values, strict=True)),
        storage_options=options,
    )
    assert node.run(0).outputs == {"o0": "counted from 0 to 3"}
    assert replace(node, inputs={"n": 5}).run(1).outputs == {"o0": "counted from 3 to 5"}
