"""KEY=VALUE, repeated: the one way in which options read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
import msgspec


def json_or_text(text: str, decode: Callable[[str], Any] = msgspec.json.decode) -> Any:
    """JSON where it is that, else text."""
    try:
        return decode(text)
    except (msgspec.DecodeError, ValueError):
        return text


def json_where_marked(text: str) -> Any:
    """JSON for an object, a list, true, false and null; anything else is text, numbers too.

    Raises:
        msgspec.DecodeError: it begins as an object or a list, and is not JSON.
    """
    is_json = text in ("true", "false", "null") or text.startswith(("{", "["))
    return msgspec.json.decode(text) if is_json else text


def pairs_option(
    flag: str, name: str, *, help: str, metavar: str = "KEY=VALUE", read: Callable[[str], Any] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that may be repeated; the function gets a dict as `name`, its values as `read` gives them."""

    def parsed(_: click.Context, __: click.Parameter, pairs: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for pair in pairs:
            key, equals, text = pair.partition("=")
            if not (key and equals):
                raise click.BadParameter(f"{pair!r} is not of the form {metavar}")
            try:
                found[key] = read(text)
            except msgspec.DecodeError as error:
                raise click.BadParameter(f"the value of {key!r} is not JSON ({error})") from None
        return found

    return click.option(flag, name, metavar=metavar, multiple=True, callback=parsed, help=help)
