"""A real browser that looks at a page, without a screen: Chromium or Chrome, whichever is there.

As a program it prints which one it would take, or what to do.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)

_OF_THE_BROWSER = ("accounts.google.com", "www.google.com", "redirector.gvt1.com", "clients2.google.com")
"""Where the browser itself calls, whatever the page."""


class NoBrowserError(Exception):
    """None was found."""


def find() -> str:
    """The program.

    Raises:
        NoBrowserError: there is none; the message says what to do.
    """
    found = [os.environ.get(VARIABLE), *map(shutil.which, NAMES), *filter(os.path.exists, APPLICATIONS)]
    program = next((name for name in found if name), None)
    if program is None:
        raise NoBrowserError(
            f"no browser: install chromium (`apt-get install chromium`), or name one in {VARIABLE}"
        )
    return program


@dataclass(frozen=True)
class View:
    """What the browser made of a page.

    `dom`: the document after its scripts have run. `console`: what it complained of. `requests`: the
    URLs that it asked for, without files. `picture`: a PNG of the window.
    """

    dom: str
    console: list[str]
    requests: set[str]
    picture: Path

    def scanlines(self) -> list[bytes]:
        """The lines of pixels, as the PNG filters them."""
        body = self.picture.read_bytes()
        width, height = struct.unpack(">II", body[16:24])
        data, place = b"", 8
        while place < len(body):
            (length,) = struct.unpack(">I", body[place : place + 4])
            if body[place + 4 : place + 8] == b"IDAT":
                data += body[place + 8 : place + 8 + length]
            place += 12 + length
        pixels = zlib.decompress(data)
        stride = len(pixels) // height
        assert stride in (1 + 3 * width, 1 + 4 * width)
        return [pixels[n * stride : (n + 1) * stride] for n in range(height)]

    @property
    def corner(self) -> tuple[int, int, int]:
        """The colour at the top left."""
        red, green, blue = self.scanlines()[0][1:4]
        return red, green, blue

    @property
    def is_blank(self) -> bool:
        return len(set(self.scanlines())) < 20


class Browser:
    """Each look is a start of its own, with a profile of its own; it is over when it has answered."""

    def __init__(self, program: str) -> None:
        self._program = program

    def look(self, page: Path, *, dark: bool = False, width: int = 1200, height: int = 1400) -> View:
        """Open the page; its picture lies beside it, as `<name>.png` or `<name>-dark.png`."""
        picture = page.with_name(f"{page.stem}{'-dark' if dark else ''}.png")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            network = Path(profile, "network.json")
            done = subprocess.run(
                [
                    self._program,
                    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
                    *("--disable-background-networking", "--disable-component-update"),
                    "--host-resolver-rules=MAP * ~NOTFOUND",
                    "--enable-logging=stderr",
                    f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                    f"--user-data-dir={profile}",
                    f"--log-net-log={network}",
                    f"--window-size={width},{height}",
                    f"--screenshot={picture}",
                    "--dump-dom",
                    page.resolve().as_uri(),
                ],
                capture_output=True,
                text=True,
                timeout=90,
                check=True,
            )
            asked = set(re.findall(r'"url":"(https?://[^"]+)"', network.read_text()))
        console = re.findall(r"CONSOLE.*?\] (.*)", done.stderr)
        asked = {url for url in asked if urlsplit(url).hostname not in _OF_THE_BROWSER}
        return View(done.stdout, console, asked, picture)


if __name__ == "__main__":
    try:
        print(find())
    except NoBrowserError as error:
        sys.exit(str(error))
