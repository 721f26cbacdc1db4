"""Processes that race for one object, on a disk and on each cloud's server: exactly one wins a version."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store, Token

RACERS = 4
VERSIONS = 12

RACE = """
import json, sys
from ckptptr.errors import ConflictError
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Token
url, options, name = sys.argv[1:]
store, folder = open_store(url, storage_options=json.loads(options))
list(store.list(folder))  # connected: what comes now is sent at once
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    key, token = json.loads(line)
    body = f"{number} by {name}".encode()
    try:
        if token is None:
            store.create(key, body)
        else:
            store.replace(key, body, Token(token))
        print("won", flush=True)
    except ConflictError:
        print("lost", flush=True)
"""


@dataclass(frozen=True)
class Place:
    """Where to race. A process of its own opens the same with the same words."""

    url: str
    options: Mapping[str, Any]

    def open(self) -> tuple[Store, str]:
        return open_store(self.url, storage_options=self.options)


@pytest.fixture
def on_disk(tmp_path: Path) -> Place:
    return Place(str(tmp_path), {})


@pytest.fixture
def on_s3(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, bucket = request.getfixturevalue("s3_server"), request.getfixturevalue("s3_bucket")
    options = {"key": server.access_key, "secret": server.secret_key, "endpoint_url": server.endpoint}
    return Place(f"s3://{bucket}/{tmp_path.name}", options)


@pytest.fixture
def on_gcs(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, bucket = request.getfixturevalue("gcs_server"), request.getfixturevalue("gcs_bucket")
    return Place(f"gs://{bucket}/{tmp_path.name}", {"endpoint_url": server.endpoint, "token": "anon"})


@pytest.fixture
def on_azure(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    server, container = request.getfixturevalue("azure_server"), request.getfixturevalue("azure_container")
    options = {"connection_string": server.connection_string()}
    return Place(f"abfs://{container}/{tmp_path.name}", options)


@pytest.fixture(
    params=["disk", *(pytest.param(name, marks=pytest.mark.servers) for name in ("s3", "gcs", "azure"))]
)
def place(request: pytest.FixtureRequest) -> Place:
    chosen: Place = request.getfixturevalue(f"on_{request.param}")
    return chosen


class Racers:
    """Processes with a connection each, which write when they are told to."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes
        assert self._hear() == ["ready"] * RACERS

    def race(self, key: str, token: Token | None) -> list[str]:
        """All write at once, each a body of its own; `won` or `lost` of each."""
        for process in self._processes:
            assert process.stdin
            process.stdin.write(json.dumps([key, token]) + "\n")
            process.stdin.flush()
        return self._hear()

    def _hear(self) -> list[str]:
        return [process.stdout.readline().strip() for process in self._processes if process.stdout]


@contextmanager
def racers(place: Place) -> Iterator[Racers]:
    with ExitStack() as stack:
        processes = []
        for number in range(RACERS):
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                RACE,
                place.url,
                json.dumps(place.options),
                str(number),
            ]
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            processes.append(process)
        yield Racers(processes)


@pytest.mark.slow
def test_of_racing_processes_exactly_one_wins_each_version(place: Place) -> None:
    store, folder = place.open()
    with racers(place) as running:
        for number in range(VERSIONS):
            key, token = f"{folder}/{number // 4}", None  # of each object four versions, the first created
            if number % 4:
                token = store.read(key)[1]
            results = running.race(key, token)
            assert sorted(results) == ["lost"] * (RACERS - 1) + ["won"]
            assert store.read(key)[0] == b"%d by %d" % (number, results.index("won"))
