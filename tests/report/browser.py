"""A real browser that looks at a page, without a screen: Chromium or Chrome, whichever is there.

As a program it prints which one it would take, or what to do.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Route, sync_playwright

VARIABLE = "CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)


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
    URLs that the page asked the network for; what the browser itself asks for is not among them.
    """

    dom: str
    console: list[str]
    requests: set[str]
    picture: Image.Image

    @property
    def corner(self) -> tuple[int, int, int]:
        """The colour at the top left."""
        return self.picture.getpixel((0, 0))

    @property
    def is_blank(self) -> bool:
        width, height = self.picture.size
        return len({self.picture.crop((0, row, width, row + 1)).tobytes() for row in range(height)}) < 20


class Browser:
    """Each look is a start of its own, with a profile of its own; it is over when it has answered."""

    def __init__(self, program: str) -> None:
        self._program = program

    def look(self, page: Path, *, dark: bool = False, width: int = 1200, height: int = 1400) -> View:
        """Open the page; its picture lies beside it, as `<name>.png` or `<name>-dark.png`.

        Each of its requests is answered with nothing.
        """
        picture = page.with_name(f"{page.stem}{'-dark' if dark else ''}.png")
        console: list[str] = []
        requests: set[str] = set()

        def answer(route: Route) -> None:
            requests.add(route.request.url)
            route.fulfill(body="")

        with (
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=self._program) as browser,
        ):
            view = browser.new_page(
                color_scheme="dark" if dark else "light", viewport={"width": width, "height": height}
            )
            view.route(re.compile("^(?!file:)"), answer)
            view.on("console", lambda message: console.append(message.text))
            view.on("pageerror", lambda error: console.append(str(error)))
            view.goto(page.resolve().as_uri())
            view.screenshot(path=picture)
            dom = view.content()
        with Image.open(picture) as image:
            return View(dom, console, requests, image.convert("RGB"))


if __name__ == "__main__":
    try:
        print(find())
    except NoBrowserError as error:
        sys.exit(str(error))
