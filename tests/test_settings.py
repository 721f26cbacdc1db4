"""Environment variables: each is read in one place, refused with its name, and listed in the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ckptptr
from ckptptr import InvalidArgumentError, Retention, settings
from ckptptr.protocol.retention import retention_of

PROJECT = Path(__file__).parents[1]


@pytest.mark.parametrize("setting", settings.SETTINGS, ids=lambda setting: setting.name)
def test_a_variable_that_is_missing_or_blank_has_its_default(setting: settings.Setting[object]) -> None:
    assert setting.read({}) == setting.read({setting.name: " "}) == setting.default


@pytest.mark.parametrize(
    ("setting", "text", "value"),
    [
        *((settings.DISABLE, text, False) for text in ("0", "false", "No")),
        *((settings.DISABLE, text, True) for text in ("1", "true", "please")),
        (settings.KEEP_LAST, " 5 ", 5),
        (settings.KEEP_BEST, "loss", ("loss", True, 1)),
        (settings.KEEP_BEST, "loss:4", ("loss", True, 4)),
        (settings.KEEP_BEST, "accuracy:max", ("accuracy", False, 1)),
        (settings.KEEP_BEST, "val:loss:min:3", ("val:loss", True, 3)),
        (settings.ALLOW_ROOTS, "s3://a/x, s3://b", ("s3://a/x", "s3://b")),
        (settings.GUARANTEE, "compare-and-swap", "compare-and-swap"),
        (settings.ENGINE, "OBSTORE", "obstore"),
        (settings.EXIT_DEADLINE, "0.5", 0.5),
    ],
)
def test_a_value_is_read(setting: settings.Setting[object], text: str, value: object) -> None:
    assert setting.read({setting.name: text}) == value


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        *((settings.KEEP_LAST, text) for text in ("0", "-1", "three", "1.5")),
        (settings.KEEP_EVERY, "0"),
        *((settings.KEEP_BEST, text) for text in (":max", "loss:0")),
        *((settings.GUARANTEE, text) for text in ("yes", "unproven")),
        (settings.ENGINE, "curl"),
        *((settings.EXIT_DEADLINE, text) for text in ("soon", "-1", "nan", "inf")),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_its_variable(
    setting: settings.Setting[object], text: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{setting.name} is '{text}', not "):
        setting.read({setting.name: text})


def test_the_retention_of_a_task_is_made_of_three_variables() -> None:
    assert retention_of({}) == Retention()
    environ = {"CKPTPTR_KEEP_LAST": "2", "CKPTPTR_KEEP_EVERY": "100", "CKPTPTR_KEEP_BEST": "f1:max:4"}
    assert retention_of(environ) == Retention(2, 100, keep_best=4, best_by="f1", lower_is_better=False)


def test_the_table_of_the_reference_is_the_one_in_the_code() -> None:
    reference = (PROJECT / "docs/reference.md").read_text()
    listed = re.findall(r"^\| `CKPTPTR_.*$", reference, re.MULTILINE)
    assert listed == [f"| `{s.name}` | {s.shown_default} | {s.meaning} |" for s in settings.SETTINGS]


def test_no_other_module_reads_a_variable_of_ours_by_itself() -> None:
    read = re.compile(r"(?:environ|getenv)[^\n]{0,9}[\[(][\"']CKPTPTR_")
    sources = Path(ckptptr.__file__).parent.rglob("*.py")
    assert [path.name for path in sources if read.search(path.read_text())] == []
