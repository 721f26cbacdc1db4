"""In these tests the order of requests is part of the history, so that files go one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ckptptr.transfer import copy, download, upload


def one_by_one(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
    return [work(item) for item in items]


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (copy, download, upload):
        monkeypatch.setattr(module, "run_all", one_by_one)
