"""The story's action, with an empty root: `on_disk`, on each cloud's server, or on all of them in turn.

`torn` is on a disk, where attempt 1 died in the middle of its fourth save, and attempts 2 and 3 left nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.flyte2.places import CLOUDS, Place, place_at
from tests.servers.gcs_fixtures import service_account


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return place_at(f"{tmp_path}/data", {}, {})


@pytest.fixture(scope="session")
def torn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("torn") / "data"
    place_at(f"{root}", {}, {}).three_deaths()
    return root


@pytest.fixture
def torn(torn_once: Path, tmp_path: Path) -> Place:
    shutil.copytree(torn_once, tmp_path / "data", symlinks=True)
    return place_at(f"{tmp_path}/data", {}, {})


@pytest.fixture
def on_s3(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")
    options = {"key": server.access_key, "secret": server.secret_key, "endpoint_url": server.endpoint}
    environ = {
        "FLYTE_AWS_ENDPOINT": server.endpoint,
        "FLYTE_AWS_ACCESS_KEY_ID": server.access_key,
        "FLYTE_AWS_SECRET_ACCESS_KEY": server.secret_key,
    }
    return place_at(f"s3://{bucket}/{tmp_path.name}", options, environ, (server.secret_key,))


@pytest.fixture
def on_gcs(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, bucket = request.getfixturevalue("gcs_server"), request.getfixturevalue("gcs_bucket")
    options = {"endpoint_url": server.endpoint, "token": "anon"}
    environ = {"GOOGLE_SERVICE_ACCOUNT_KEY": service_account(server.endpoint)}
    return place_at(f"gs://{bucket}/{tmp_path.name}", options, environ)


@pytest.fixture
def on_azure(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, container = request.getfixturevalue("azure_server"), request.getfixturevalue("azure_container")
    environ = {
        "AZURE_STORAGE_ACCOUNT_NAME": server.account,
        "AZURE_STORAGE_ACCOUNT_KEY": server.key,
        "AZURE_STORAGE_ENDPOINT": f"{server.endpoint}/{server.account}",
    }
    options = {"connection_string": server.connection_string()}
    return place_at(f"abfs://{container}/{tmp_path.name}", options, environ, (server.key,))


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest) -> Place:
    chosen: Place = request.getfixturevalue(f"on_{request.param}")
    return chosen
