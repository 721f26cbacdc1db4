"""One word for one thing: no text uses a word that docs/glossary.md has retired.

The glossary's own table is the list. A name in backticks is a name and not a word, `doomed` among them;
what a program prints (`text` blocks) is checked where the program's source is.
"""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
GLOSSARY = PROJECT / "docs/glossary.md"
DOCUMENTS = ["*.md", "docs/*.md", "examples/*.md", "benchmarks/*.md"]
SOURCES = ["ckptptr/**/*.py", "examples/**/*.py"]
TEXTS = sorted(path for glob in (*DOCUMENTS, *SOURCES) for path in PROJECT.glob(glob))

_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(`+)[^`]+\1")


def retired() -> dict[str, str]:
    """Each retired word, and what to write."""
    _, _, table = GLOSSARY.read_text().partition("## Retired words\n")
    rows = re.findall(r"^\| (?!do not write|-)([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return {word: better for words, better in rows for word in words.split(", ")}


RETIRED = retired()
_RETIRED = re.compile(
    r"(?<![\w-])(?:" + "|".join(re.escape(word).replace(r"\ ", r"\s+") for word in RETIRED) + r")(?![\w-])",
    re.IGNORECASE,
)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """The sentences in a file, each with its line: of a program its comments and strings."""
    text = path.read_text()
    if path.suffix == ".md":
        if path == GLOSSARY:
            text = text.partition("## Retired words\n")[0]
        yield 1, _BLOCK.sub(lambda block: "\n" * block[0].count("\n"), text)
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value  # a string without a blank is a name
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string


def found_in(text: str) -> list[tuple[int, str]]:
    """The retired words in a text, each with its line from 0."""
    words = _NAME.sub(lambda name: "`" + "\n" * name[0].count("\n"), text)
    return [(words.count("\n", 0, hit.start()), " ".join(hit[0].split())) for hit in _RETIRED.finditer(words)]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(PROJECT)))
def test_no_text_uses_a_retired_word(path: Path) -> None:
    hits = [
        f"{path}:{line + further}: {word!r}; write {RETIRED.get(word.lower())}"
        for line, text in prose(path)
        for further, word in found_in(text)
    ]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    ("text", "hits"),
    [
        ("It is doomed.", [(0, "doomed")]),
        ("LATEST lists it\nas Let\ngo.", [(1, "Let go")]),
        ("The key `doomed`, and ``doomed``, stay.", []),
        ("An outlet gone, half-settled.", []),
        ("Two\n`names\nhere`, and it was swept", [(2, "swept")]),
    ],
)
def test_a_word_is_found_across_lines_and_not_in_a_name_or_another_word(
    text: str, hits: list[tuple[int, str]]
) -> None:
    assert found_in(text) == hits


def test_of_a_program_comments_docstrings_and_messages_are_read_and_names_are_not(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text('"""It is swept."""\ndoomed = "doomed"\n# nobody\nprint(f"{doomed} so many")\n')
    lines = [line for line, text in prose(program) for _ in found_in(text)]
    assert sorted(lines) == [1, 3, 4]


def test_the_glossary_says_each_term_and_each_retired_word_once() -> None:
    terms = re.findall(r"^\| ([^|]+) \|", GLOSSARY.read_text().partition("## Retired")[0], re.MULTILINE)
    terms = [term for term in terms if term != "term"]
    assert len(terms) == len(set(terms)) > 40
    assert {term.strip("`") for term in terms} & set(RETIRED) == {"doomed"}  # the key, in backticks
    assert len(RETIRED) > 20
