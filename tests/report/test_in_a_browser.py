"""The page, as a real browser shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ckptptr.report.facts import Report, gather
from ckptptr.report.page import page
from tests.report import stories
from tests.report.browser import Browser
from tests.report.stories import Story

pytestmark = pytest.mark.servers  # a browser is slower to start than most of them

Tell = Callable[[Path], Story]

PROBE = """<pre id="probe"></pre><script>
const boxes = [...document.querySelectorAll("svg g.dot .mark")].map(e => e.getBoundingClientRect());
const texts = [...document.querySelectorAll("svg text.label")].map(e => e.getBoundingClientRect());
const over = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
document.getElementById("probe").textContent = JSON.stringify({
  dots: boxes.length,
  empty: boxes.filter(b => b.width < 2 || b.height < 2).length,
  overlapping: texts.filter((a, i) => texts.slice(i + 1).some(b => over(a, b))).length,
  beyond: document.documentElement.scrollWidth - window.innerWidth,
});
</script>"""


def look_closely(browser: Browser, html: str, path: Path, **how: Any) -> dict[str, int]:
    """What a script in the page measures; the page itself forbids scripts, so that goes first."""
    forbids = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    assert re.search(forbids, html)
    path.write_text(re.sub(forbids, "", html).replace("</body>", f"{PROBE}</body>"))
    view = browser.look(path, **how)
    return json.loads(view.dom.partition('<pre id="probe">')[2].partition("</pre>")[0])


def report_of(story: Story, attempt: int) -> Report:
    return gather(story.here(attempt))


@pytest.mark.parametrize(
    ("tell", "attempt"),
    [
        (stories.one, 1),
        (stories.three, 1),
        (stories.retained, 4),
        (stories.forty, 6),
        (stories.two_hundred, 12),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_every_checkpoint_is_a_dot_that_can_be_seen(
    tell: Tell, attempt: int, tmp_path: Path, browser: Browser
) -> None:
    report = report_of(tell(tmp_path), attempt)
    gone = sum(not origin.is_there for attempt in report.attempts for origin in attempt.origins)
    seen = look_closely(browser, page(report), tmp_path / "page.html")
    following = 1
    assert seen == {
        "dots": len(report.checkpoints) + len(report.unfinished) + gone + following,
        "empty": 0,
        "overlapping": 0,
        "beyond": 0,
    }


def test_it_shows_in_light_and_in_dark_without_a_complaint_or_a_request(
    tmp_path: Path, browser: Browser
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(report_of(stories.forty(tmp_path), 6)))
    light, dark = browser.look(path), browser.look(path, dark=True)
    assert (light.corner, dark.corner) == ((255, 255, 255), (16, 21, 28))
    for view in (light, dark):
        assert not view.is_blank
        assert view.console == []
        assert view.requests == set()


def test_on_a_narrow_screen_only_the_picture_and_the_tables_scroll(tmp_path: Path, browser: Browser) -> None:
    html = page(report_of(stories.three(tmp_path), 1))
    assert look_closely(browser, html, tmp_path / "page.html", width=500)["beyond"] == 0


def test_what_comes_from_the_bucket_does_not_run(tmp_path: Path, browser: Browser) -> None:
    story = stories.hostile(tmp_path)
    html = page(report_of(story, 1))
    path = tmp_path / "page.html"
    # Without its policy, so that only the escaping is left to stop a script.
    path.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html))
    view = browser.look(path)
    assert "&lt;script&gt;" in view.dom
    assert "PWNED" not in view.dom
    assert view.console == []
    assert view.requests == set()


def test_should_the_escaping_ever_fail_the_policy_of_the_page_stops_a_script(
    tmp_path: Path, browser: Browser
) -> None:
    html = page(report_of(stories.one(tmp_path), 1))
    path = tmp_path / "page.html"
    script = "<script>document.title = 'PWN' + 'ED'</script><img src='http://example.invalid/x.png'>"
    path.write_text(html.replace("</body>", f"{script}</body>"))
    view = browser.look(path)
    assert "PWNED" not in view.dom
    assert view.requests == set()
    assert any("Content Security Policy" in line for line in view.console)
