"""The help of each command has all that its `--json` prints, read from the shape and not written twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from ckptptr.cli import COMMANDS, Commands
from ckptptr.inspect import shapes
from tests.cli.conftest import FlyteNode, run, run_json


def section(command: str) -> str:
    """The keys in the help, in one line; not the sentences below them."""
    return " ".join(run(command, "-h").stdout.partition("With --json:\n")[2].partition("\n\n")[0].split())


def said(schema: Any) -> Iterator[str]:
    """Every key and every literal value that a JSON schema has, at any depth."""
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        yield from schema.get("enum", [])
        for each in schema.values():
            yield from said(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from said(each)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_every_key_and_value_of_the_shape(name: str) -> None:
    command = Commands().get_command(None, name)  # type: ignore[arg-type]
    expected = {*said(msgspec.json.schema(command.shape))}  # type: ignore[union-attr]
    assert len(expected) > 5
    found = section(name)
    assert [word for word in expected if not re.search(rf"(^|[ {{\[(]){re.escape(word)}\b", found)] == []


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            if key not in ("metadata", "outputs"):  # their keys are the user's
                yield from keys(each)
    elif isinstance(value, list):
        for each in value:
            yield from keys(each)


@pytest.mark.parametrize(
    "words", [["show"], ["log"], ["doctor"], ["report"], ["use", "#2"], ["sweep", "--dry-run"]]
)
def test_every_key_that_is_printed_is_in_the_help(words: list[str], node: FlyteNode) -> None:
    node.save(0, 1, 2, 3, 4)
    name, *rest = words
    told = {*keys(run_json(name, node.url, *rest))}
    assert [key for key in told if not re.search(rf"\b{key}\b", section(name))] == []


def test_nesting_lists_values_and_null_are_told_apart() -> None:
    assert "checkpoint? {checkpoint, id?, url?, step?, attempt?" in section("show")
    assert "candidates [{outcome (absent, next, rejected, taken, unknown), reference," in section("show")
    assert "before {url, state (absent, damaged, edited, written)," in section("use")
    assert "latest {as before}" in section("use")
    assert "warnings [text]" in section("show")
    assert "started_over [number]" in section("simulate")


def test_what_a_key_means_is_what_the_shape_says() -> None:
    assert " ".join((shapes.Move.__doc__ or "?").split()) in " ".join(run("use", "-h").stdout.split())
