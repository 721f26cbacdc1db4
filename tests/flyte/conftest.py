"""The story's node, with an empty root: `on_disk`, on each cloud's server, or on all of them in turn.

`killed` is on a disk, where attempt 0 died in the middle of its fourth save. In `torn` attempts 1 and 2 died
after it, and left nothing. These attempts run once; each test has a copy.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import pytest

from tests.flyte.places import CLOUDS, Place, place_at


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return place_at(f"{tmp_path}/data", {}, {})


@pytest.fixture(scope="session")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("killed") / "data"
    place_at(f"{root}", {}, {}).death_in_save_4()
    return root


@pytest.fixture(scope="session")
def torn_once(killed_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("torn") / "data"
    copy_of(killed_once, root).two_more_deaths()
    return root


@pytest.fixture
def killed(killed_once: Path, tmp_path: Path) -> Place:
    return copy_of(killed_once, tmp_path / "data")


@pytest.fixture
def torn(torn_once: Path, tmp_path: Path) -> Place:
    return copy_of(torn_once, tmp_path / "data")


def copy_of(once: Path, root: Path) -> Place:
    shutil.copytree(once, root, symlinks=True)
    return place_at(f"{root}", {}, {})


@pytest.fixture
def on_s3(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")
    proxy = request.getfixturevalue("s3_proxy")
    options = {"key": server.access_key, "secret": server.secret_key, "endpoint_url": proxy.endpoint}
    environ = {
        "FLYTE_AWS_ENDPOINT": proxy.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": server.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": server.secret_key,
    }
    secrets = (server.secret_key, server.access_key)
    return place_at(f"s3://{bucket}/{tmp_path.name}/data", options, environ, secrets)


@pytest.fixture
def on_gcs(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    bucket, proxy = request.getfixturevalue("gcs_bucket"), request.getfixturevalue("gcs_proxy")
    options = {"endpoint_url": proxy.endpoint, "token": "anon"}
    token = uuid.uuid4().hex
    environ = {
        "STORAGE_EMULATOR_HOST": proxy.endpoint,
        "FSSPEC_GS_TOKEN": token,
        "FETCH_RAW_TOKEN_EXPIRY": "false",  # that would ask Google
        "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
    }
    return place_at(f"gs://{bucket}/{tmp_path.name}/data", options, environ, (token,))


@pytest.fixture
def on_azure(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, container = request.getfixturevalue("azure_server"), request.getfixturevalue("azure_container")
    connection = server.connection_string(request.getfixturevalue("azure_proxy").endpoint)
    environ = {"AZURE_STORAGE_CONNECTION_STRING": connection}
    options = {"connection_string": connection}
    return place_at(f"abfs://{container}/{tmp_path.name}/data", options, environ, (server.key,))


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Place:
    chosen: Place = request.getfixturevalue(f"on_{request.param}")
    return chosen
