from __future__ import annotations

import copy
import pickle
import re

import pytest

from ckptptr import errors
from ckptptr.errors import CkptptrError, StoreUnavailableError

CLASSES = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CkptptrError)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_told_with_its_object_and_what_to_do_next(cls: type[CkptptrError]) -> None:
    assert str(cls("it broke")) == "it broke"
    assert str(cls("it broke", key="s3://b/x")) == "it broke: s3://b/x"
    assert str(cls("it broke", hint="Mend it")) == "it broke. Mend it"
    assert str(cls("it broke", key="s3://b/x", hint="Mend it")) == "it broke: s3://b/x. Mend it"


@pytest.mark.parametrize("duplicate", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301
@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_survives_pickling_and_copying(cls: type[CkptptrError], duplicate) -> None:  # type: ignore[no-untyped-def]
    error = cls("it broke", key="s3://b/x", hint="Mend it")
    again = duplicate(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert (again.message, again.key, again.hint, again.args) == (
        error.message,
        error.key,
        error.hint,
        error.args,
    )


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [vars(cls)["code"] for cls in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


def test_codes_are_stable_since_programs_go_by_them() -> None:
    assert {cls.__name__: cls.code for cls in CLASSES} == {
        "CkptptrError": "error",
        "InvalidArgumentError": "invalid-argument",
        "SettingError": "invalid-setting",
        "UnidentifiedError": "unidentified",
        "LocalMachineError": "local-machine",
        "LocalDiskError": "local-disk",
        "NotFoundError": "not-found",
        "DamagedError": "damaged",
        "OtherWorkError": "other-work",
        "UnsupportedFormatError": "unsupported-format",
        "ConflictError": "conflict",
        "IncompleteError": "incomplete",
        "SupersededError": "superseded",
        "PreemptedError": "preempted",
        "OutcomeUnknownError": "outcome-unknown",
        "StoreUnavailableError": "store-unavailable",
        "AccessDeniedError": "access-denied",
    }


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = {}
    parents: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.fullmatch(r"    ([│├└─ ]*)(\w+)( {2,}.*)?", line)
        if found:
            depth = len(found[1]) // 4
            parents[depth:] = [found[2]]
            drawn[found[2]] = parents[depth - 1] if depth else "Exception"
    assert drawn == {cls.__name__: cls.__mro__[1].__name__ for cls in CLASSES}


def test_python_knows_some_of_them_by_its_own_names() -> None:
    assert issubclass(errors.InvalidArgumentError, ValueError)
    assert issubclass(errors.NotFoundError, LookupError)
    assert not any(issubclass(cls, OSError) for cls in CLASSES)


def test_a_refusal_proves_nothing_about_what_exists() -> None:
    assert issubclass(errors.AccessDeniedError, StoreUnavailableError)
    assert not issubclass(errors.NotFoundError, StoreUnavailableError)
