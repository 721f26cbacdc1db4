"""Which warnings fail the tests: `filterwarnings` in pyproject.toml."""

from __future__ import annotations

import warnings

import pytest

OF_AN_API = [DeprecationWarning, PendingDeprecationWarning, FutureWarning, UserWarning]


def warn(module: str, category: type[Warning]) -> list[str]:
    """What is shown of a new warning that points to this module."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.warn_explicit("new today", category, f"{module}.py", 1, module=module, registry={})
    return [str(warning.message) for warning in shown]


@pytest.mark.parametrize("category", OF_AN_API)
@pytest.mark.parametrize("module", ["google.api_core", "flytekit.deck", "importlib._bootstrap", "testsuite"])
def test_what_another_package_announces_is_shown_and_fails_nothing(
    module: str, category: type[Warning]
) -> None:
    assert warn(module, category) == ["new today"]


@pytest.mark.parametrize("category", OF_AN_API)
@pytest.mark.parametrize("module", ["ckptptr", "ckptptr.stores.s3.client", "tests.helpers", __name__])
def test_what_points_to_our_own_code_fails(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="new today"):
        warn(module, category)


@pytest.mark.parametrize("category", [ResourceWarning, RuntimeWarning, BytesWarning])
@pytest.mark.parametrize("module", ["asyncio.base_events", "ckptptr.flyte.plugin"])
def test_what_our_calls_leave_open_fails_wherever_it_is_noticed(module: str, category: type[Warning]) -> None:
    with pytest.raises(category, match="new today"):
        warn(module, category)
