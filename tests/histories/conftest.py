"""In these tests the order of requests is part of the history, so that files go one after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from ckptptr.transfer import copy, download, upload


def one_by_one(work: Callable[[Any], Any], items: Iterable[Any], **_: Any) -> list[Any]:
    return [work(item) for item in items]


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (copy, download, upload):
        monkeypatch.setattr(module, "run_all", one_by_one)


@pytest.fixture(autouse=True)
def _in_silence() -> Iterator[None]:
    """A thousand lives have a lot to say, and most of it is about faults that were ordered."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
