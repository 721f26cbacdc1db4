from __future__ import annotations

import subprocess
import sys

import pytest

import ckptptr

INTENDED = {
    "open",
    "on_event",
    "Batch",
    "Checkpoint",
    "Checkpoints",
    "Event",
    "Found",
    "Parts",
    "Preemption",
    "Resolution",
    "Retention",
    "Stream",
    "Verdict",
    "AccessDeniedError",
    "CkptptrError",
    "ConflictError",
    "DamagedError",
    "IncompleteError",
    "InvalidArgumentError",
    "LocalDiskError",
    "LocalMachineError",
    "NotFoundError",
    "OutcomeUnknownError",
    "PreemptedError",
    "StoreUnavailableError",
    "SupersededError",
    "UnsupportedFormatError",
    "__version__",
}
HEAVY = ["flytekit", "s3fs", "botocore", "fsspec", "msgspec", "rich", "click"]


def test_the_public_names_are_exactly_the_intended_ones() -> None:
    assert set(ckptptr.__all__) == INTENDED
    assert len(ckptptr.__all__) == len(INTENDED)


@pytest.mark.parametrize("name", sorted(INTENDED))
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(ckptptr, name)
    assert value.__doc__
    if name != "__version__":
        assert value.__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ckptptr' has no attribute 'save'"):
        ckptptr.save  # noqa: B018


def loaded_after(statement: str) -> set[str]:
    """Which of the heavy modules a fresh interpreter has after a statement."""
    program = f"{statement}\nimport sys\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(output.stdout.split()) & set(HEAVY)


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import ckptptr") == set()


def test_catching_an_error_loads_nothing_heavy() -> None:
    assert loaded_after("from ckptptr import StoreUnavailableError, NotFoundError") == set()


def test_opening_a_local_path_loads_no_cloud_sdk_and_no_flytekit() -> None:
    assert loaded_after("import ckptptr; ckptptr.open('/tmp/none', read_only=True)") == {"msgspec"}
