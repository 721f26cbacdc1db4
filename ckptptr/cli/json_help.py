"""What `--json` prints, for `--help`: keys, values and nesting, read from the shape itself.

checkpoint? {checkpoint, id?, url?}   an object; a question mark where it may be null
state (absent, written)               one of these values
nodes [{url, name}], warnings [text]  lists
"""

from __future__ import annotations

import inspect
from textwrap import fill

import click
import msgspec
from msgspec import inspect as types

_PLAIN = {types.StrType: "text", types.IntType: "number", types.DictType: "{}"}


def write_json_help(shape: type[msgspec.Struct], formatter: click.HelpFormatter) -> None:
    """Write the section "With --json"."""
    with formatter.section("With --json"):
        indent = " " * formatter.current_indent
        for paragraph in keys_of(shape):
            lines = fill(paragraph, formatter.width, initial_indent=indent, subsequent_indent=f"{indent}  ")
            formatter.write(f"{lines}\n")
        formatter.write_paragraph()
        formatter.write_text(f"{inspect.cleandoc(shape.__doc__ or '')}\n\nA key with ? may be null.")


def keys_of(shape: type[msgspec.Struct]) -> list[str]:
    """The keys; each object of the top has a paragraph of its own, with all that is in it."""
    paragraphs: list[list[str]] = []
    described: dict[type, str] = {}
    ends = True
    top = types.type_info(shape)
    for field in top.fields if isinstance(top, types.StructType) else ():
        text = _key(field, described)
        is_long = "{" in text
        if ends or is_long:
            paragraphs.append([])
        paragraphs[-1].append(text)
        ends = is_long
    return [", ".join(keys) for keys in paragraphs]


def _key(field: types.Field, described: dict[type, str]) -> str:
    kind, is_nullable = field.type, ""
    if isinstance(kind, types.UnionType):
        rest = [each for each in kind.types if not isinstance(each, types.NoneType)]
        is_nullable = "?" if len(rest) < len(kind.types) else ""
        kind = rest[0]
    is_plain = type(kind) in _PLAIN
    return f"{field.name}{is_nullable} {'' if is_plain else _value(kind, field.name, described)}".rstrip()


def _value(kind: types.Type, name: str, described: dict[type, str]) -> str:
    match kind:
        case types.LiteralType(values):
            return f"({', '.join(map(str, values))})"
        case types.ListType(item):
            return f"[{_value(item, name, described)}]"
        case types.StructType(cls) if cls in described:
            return f"{{as {described[cls]}}}"
        case types.StructType(cls, fields):
            described[cls] = name
            return f"{{{', '.join(_key(field, described) for field in fields)}}}"
    return _PLAIN.get(type(kind), "")
