"""The page says in words and tables all that the picture shows, and needs nothing but itself."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import msgspec

from ckptptr.report.facts import Live, gather
from ckptptr.report.page import page, section
from tests.report import stories

LOADS = {"src", "srcset", "data", "poster", "action", "formaction", "background"}


class Elements(HTMLParser):
    """The tags of a page and the attributes that could load or run something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [pair for pair in attrs if pair[0] in LOADS or pair[0].startswith("on")]


def test_it_needs_no_script_and_no_network(tmp_path: Path) -> None:
    html = page(gather(stories.hostile(tmp_path).here(1)))
    found = Elements(html)
    assert not found.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert found.loads == []
    assert "url(" not in html
    assert "@import" not in html


def test_reasons_are_escaped_and_their_commands_set_as_code(tmp_path: Path) -> None:
    report = gather(stories.three(tmp_path).here(1))
    *attempts, last = report.attempts
    evil = msgspec.structs.replace(
        last, words=stories.EVIL, reasons=[f"`use` {stories.EVIL} `{stories.EVIL}`"]
    )
    html = page(msgspec.structs.replace(report, attempts=[*attempts, evil], headline=stories.EVIL))
    assert "script" not in Elements(html).tags
    assert "<code>use</code> &lt;script&gt;" in html.lower()


def test_control_characters_are_written_out(tmp_path: Path) -> None:
    report = gather(stories.hostile(tmp_path, evil="\x1b[2J\u202eevil").here(1))
    for html in (page(report), section(report)):
        assert all(line.isprintable() for line in html.split("\n"))
        assert "\\x1b[2J\\u202eevil" in html


def test_every_checkpoint_is_a_row_with_its_id_and_the_dot_leads_to_it(tmp_path: Path) -> None:
    report = gather(stories.forty(tmp_path).here(6))
    html = page(report)
    rows = re.findall(r'<tr id="([^"]+)">', html)
    assert len(rows) == len(report.checkpoints)
    assert set(re.findall(r'<a href="#([^"]+)">', html)) == set(rows)
    assert all(f"<code>{item.id}</code>" in html for item in report.checkpoints)


def test_what_is_wrong_is_said_in_words(tmp_path: Path) -> None:
    html = page(gather(stories.forty(tmp_path).here(6)))
    assert "LATEST is held, with <code>ckptptr use</code>" in html
    assert "cannot be restored: the manifest does not have the checksum" in html
    assert "0000000099-a0005-killed99" in html
    assert "Note: the last &lt;good&gt; one" in html


def test_a_damaged_latest_is_said(tmp_path: Path) -> None:
    story = stories.three(tmp_path)
    story.world.write("{")
    assert "LATEST is damaged" in page(gather(story.here(1)))


def test_how_long_saves_took_is_a_column_only_where_it_is_known(tmp_path: Path) -> None:
    story = stories.three(tmp_path)
    assert ">took<" not in page(gather(story.here(1)))
    process = story.attempt(1, 400)
    live = Live(process.resolution, saved_in=dict(process.checkpoints._session.saved_in))
    assert ">took<" in section(gather(story.here(1), live=live))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    here = stories.two_hundred(tmp_path).here(11)
    assert "And 190 more, older" in section(gather(here, live=Live(None), most=10))


def test_it_is_drawn_without_the_command_line_as_in_a_pod(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["click"] = sys.modules["rich"] = None  # to import one of these is now an error
import ckptptr
from ckptptr.inspect.target import locate
from ckptptr.report.facts import gather
from ckptptr.report.page import page
with ckptptr.open(sys.argv[1]) as checkpoints:
    checkpoints.save(b"1", step=1)
assert "resumes from step 1" in page(gather(locate(sys.argv[1], storage_options={})))
assert not [name for name in sys.modules if name.startswith("ckptptr.cli")]
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
