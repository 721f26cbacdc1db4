"""A slice of the fuzzer, what it once found, and that it finds faults. `make fuzz` runs it for longer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from ckptptr.protocol import sealed
from ckptptr.report import page
from tests.fuzz.case import Case, Told, kept
from tests.fuzz.damage import MARK, cases
from tests.fuzz.environment import hear, tellings
from tests.fuzz.operations import WrongError, play, ready
from tests.fuzz.start import TARGET, start
from tests.helpers import PLAIN
from tests.protocol.test_hostile import at_most

BEGIN = start(PLAIN)
MANIFEST = f"{BEGIN.home(1)}/manifests/{TARGET}.json"
KEPT = dict(kept())


@pytest.mark.parametrize("case", KEPT.values(), ids=KEPT)
def test_what_was_once_wrong_stays_right(case: Case | Told, tmp_path: Path) -> None:
    with ready(), at_most(64):
        hear(case) if isinstance(case, Told) else play(case, tmp_path / "scratch")


def test_a_slice_of_damaged_buckets(tmp_path: Path) -> None:
    @settings(max_examples=40, derandomize=True, database=None)
    @given(cases())
    def check(case: Case) -> None:
        play(case, tmp_path / "scratch")

    with ready():
        check()


def test_a_slice_of_what_pods_are_told() -> None:
    @settings(max_examples=60, derandomize=True, database=None)
    @given(tellings())
    def check(told: Told) -> None:
        hear(told)

    with ready():
        check()


def test_what_is_not_damaged_is_restored_as_the_next_attempt_would(tmp_path: Path) -> None:
    with ready():
        assert play(Case(PLAIN, {}, (), ("restore", "3")), tmp_path / "scratch") == "done"


# The judge


def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest with a wrong checksum is taken."""
    right = sealed.unseal

    def unseal(body: bytes, *arguments: Any) -> sealed.Document:
        return right(sealed.msgspec.json.encode(sealed.seal(sealed.msgspec.json.decode(body))), *arguments)

    monkeypatch.setattr(sealed, "unseal", unseal)


def printing_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ckptptr.cli.output.printable", str)


def without_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_TEMPLATES", page._TEMPLATES.overlay(autoescape=False))


SPOILT = BEGIN.objects[MANIFEST].replace(b'"loss": 0.5', b'"loss": 0.25')
EDITED = f'{{"checkpoint": "none", "note": "\\u001b[2J{MARK}"}}'.encode()
FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Case]] = {
    "a wrong checksum": (lenient, Case(PLAIN, {MANIFEST: SPOILT}, (), ("restore", "3"))),
    "control characters": (printing_all, Case(PLAIN, {f"{PLAIN}/LATEST": EDITED}, (), ("show",))),
    "a page": (without_escapes, Case(PLAIN, {f"{PLAIN}/LATEST": EDITED}, (), ("report",))),
}


@pytest.mark.parametrize(("fault", "case"), FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_product_is_found(
    fault: Callable[[pytest.MonkeyPatch], None], case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ready():
        play(case, tmp_path / "scratch")
        fault(monkeypatch)
        with pytest.raises(WrongError):
            play(case, tmp_path / "scratch")
