from __future__ import annotations

import pytest

from tests.report.browser import Browser, NoBrowserError, find


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A real browser. Where there is none, its tests fail: `CKPTPTR_SKIP_SERVERS=browser` leaves them out."""
    try:
        return Browser(find())
    except NoBrowserError as error:
        pytest.fail(str(error))
