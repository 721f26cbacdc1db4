"""Servers for the tests, and which of them a laptop may do without."""

from __future__ import annotations

import os

import pytest

pytest_plugins = [
    "tests.servers.s3_fixtures",
    "tests.servers.gcs_fixtures",
    "tests.servers.azure_fixtures",
]

pytest.register_assert_rewrite("ckptptr.testing.conformance")

SKIP = "CKPTPTR_SKIP_SERVERS"

# Before anything imports gcsfs: else it asks of each bucket what kind it is, for a minute.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`CKPTPTR_SKIP_SERVERS=azure,gcs,browser` leaves out the tests on those, by name. CI never sets it.

    Without it a server that is missing or does not start fails its tests: nothing is skipped silently.
    """
    skipped = set(os.environ.get(SKIP, "").replace(",", " ").split())
    if unknown := skipped - {"s3", "gcs", "azure", "browser"}:
        names = ", ".join(sorted(unknown))
        raise pytest.UsageError(f"{SKIP} names {names}; it knows s3, gcs, azure and browser")
    for item in items:
        names = [*getattr(item, "fixturenames", ()), *_parameters(item)]
        servers = {name.partition("_")[0] for name in names}
        if servers & skipped:
            item.add_marker(pytest.mark.skip(reason=f"{SKIP} says so"))


def _parameters(item: pytest.Item) -> list[str]:
    """The words that a test is parametrised with: such as `azure`, of a fixture that asks for that one."""
    chosen = item.callspec.params.values() if hasattr(item, "callspec") else ()
    return [value for value in chosen if isinstance(value, str)]
