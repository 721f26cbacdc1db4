"""Each row of the tables in docs/flyte.md names a test; the tests that documents name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "flyte.md"
LINK = re.compile(r"\[`([^`]+)`\]\((\.\./[^)]+)\)")
ROWS = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and line.count("|") == 4]


def test_every_row_links_to_a_test_or_says_that_it_is_the_one_above() -> None:
    rows = [row for row in ROWS if not row.startswith(("| kind |", "| death |"))]
    assert len(rows) > 60
    assert [row for row in rows if not LINK.search(row) and "the same" not in row] == []


@pytest.mark.parametrize(("page", "least"), [("flyte.md", 70), ("operating.md", 15)])
def test_every_test_that_is_named_exists_where_the_link_leads(page: str, least: int) -> None:
    named = LINK.findall(PAGE.with_name(page).read_text())
    assert len(named) > least
    for name, target in named:
        source = (PAGE.parent / target).read_text()
        *_, test = name.split("::")
        test, _, kind = test.partition("[")
        assert test in ("", Path(target).name) or f"def {test}(" in source, name
        assert not kind or f'"{kind.rstrip("]")}"' in source, name
