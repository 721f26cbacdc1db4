"""Servers for the tests, and which of them a laptop may do without."""

from __future__ import annotations

import gc
import os
import sys
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    "tests.temporary",
    "tests.servers.s3_fixtures",
    "tests.servers.gcs_fixtures",
    "tests.servers.azure_fixtures",
]

pytest.register_assert_rewrite("ckptptr.testing.conformance")

SKIP = "CKPTPTR_SKIP_SERVERS"

# How long an example takes says how busy the machine is, and nothing about the code.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")
settings.register_profile("sample", settings(), max_examples=10)  # for `make test-fast`

# Before anything imports gcsfs: else it asks of each bucket what kind it is, for a minute.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


class NoFlytekit:
    """An import of flytekit skips the test, or the module of tests, that needs it."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "flytekit":
            pytest.skip("there is no flytekit for Python 3.13", allow_module_level=True)


WITHOUT_FLYTEKIT = sys.version_info >= (3, 13) and find_spec("flytekit") is None
if WITHOUT_FLYTEKIT:  # on any other Python its absence fails the tests
    sys.meta_path.insert(0, NoFlytekit)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`CKPTPTR_SKIP_SERVERS=azure,gcs,browser` leaves out the tests on those, by name. CI never sets it.

    Without it a server that is missing or does not start fails its tests: nothing is skipped silently.
    """
    skipped = set(os.environ.get(SKIP, "").replace(",", " ").split())
    if unknown := skipped - {"s3", "gcs", "azure", "browser"}:
        names = ", ".join(sorted(unknown))
        raise pytest.UsageError(f"{SKIP} names {names}; it knows s3, gcs, azure and browser")
    for item in items:
        if {"s3_server", "gcs_server", "azure_server", "browser"} & {*getattr(item, "fixturenames", ())}:
            item.add_marker(pytest.mark.servers)
        names = [*getattr(item, "fixturenames", ()), *_parameters(item)]
        servers = {name.partition("_")[0] for name in names}
        if servers & skipped:
            item.add_marker(pytest.mark.skip(reason=f"{SKIP} says so"))
        if WITHOUT_FLYTEKIT and item.get_closest_marker("flytekit"):
            item.add_marker(pytest.mark.skip(reason="there is no flytekit for Python 3.13"))


def pytest_collection_finish() -> None:
    """Collect garbage less often: each full collection looks through all that was imported and collected."""
    gc.set_threshold(10_000, 20, 100)


def _parameters(item: pytest.Item) -> list[str]:
    """The words that a test is parametrised with: such as `azure`, of a fixture that asks for that one."""
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in chosen if isinstance(value, str)]
