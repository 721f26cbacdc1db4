"""docs/scale.md has the tables that `benchmarks/scale.py` computes from requests that the real code sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.scale import DELETE, LIST, READ, WRITE, parts, steady_save, tables
from ckptptr.session.session import SEARCH_EVERY

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.slow
def test_the_tables_of_the_page_are_those_that_the_script_prints() -> None:
    page = (DOCS / "scale.md").read_text()
    found = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert [table.strip() for table in found[:6]] == list(tables())


def test_a_save_costs_what_the_operating_guide_counts(tmp_path: Path) -> None:
    for words, kept in (("one small file", 3), ("30 are kept", 30)):
        save = steady_save(tmp_path, kept)
        orphans = 1 / SEARCH_EVERY
        counted = tuple(round(save.count(kind), 6) for kind in (WRITE, DELETE, LIST, READ))
        expected = (3, 2, 2 + 2 * orphans, 3 + kept + (2 + kept) * orphans)
        assert counted == tuple(round(number, 6) for number in expected)
        assert f"{words:<18} {save.dollars * 1_000_000:7.2f} $" in (DOCS / "operating.md").read_text()


def test_parts_cost_the_small_writes_that_the_guide_counts_and_grow_linearly(tmp_path: Path) -> None:
    assert "2 *N* + 3 small writes" in (DOCS / "distributed.md").read_text()
    counts = {writers: parts(tmp_path, writers) for writers in (8, 16, 32)}
    for writers, sent in counts.items():
        assert sent.count(WRITE) == writers + 2 * writers + 3
    reads = {writers: sent.count(READ) for writers, sent in counts.items()}
    assert reads[32] - reads[16] == 2 * (reads[16] - reads[8])
