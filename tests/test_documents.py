"""README.md and docs/: every command and snippet is executed as it stands, every link leads somewhere.

The blocks of a document run one after the other in one shell, as a reader types them, in a folder with
`examples/`; a `python` block is a program of its own, and one that begins with `# name.py` is only saved
under that name, for a command to run. A `text` block is what the block before it prints; one without a
language is a drawing. Buckets are
folders (`tests/documents/sitecustomize.py`), `aws`, `gcloud` and `az` stand-ins that copy to and from them
(`tests/documents/stand_ins.py`); `ckptptr` is the real one. What is installed or built (`pip`, `make`) is
checked against pyproject.toml and the Makefile, and not run. What cannot be run says why in a comment above
it, with one of the reasons below. docs/testing.md has its own test, in tests/testing/test_pytest_plugin.py,
docs/flyte2.md in tests/flyte2/test_document.py. docs/frameworks.md and docs/distributed.md need torch, and
run in tests/frameworks/test_document.py.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

import ckptptr
from ckptptr.cli import COMMANDS, main

PROJECT = Path(__file__).parents[1]
STANDING_IN = Path(__file__).with_name("documents")
DOCUMENTS = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
RUN_ELSEWHERE = {"testing.md", "flyte2.md", "frameworks.md", "distributed.md"}
ALSO_LINKED = (
    *("PROTOCOL.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"),
    *("examples/README.md", "benchmarks/README.md"),
)
NOT_RUN = {"needs a Flyte cluster", "for the shell's start-up file", "what a file looks like"}

NODE = "_ckptptr/flytesnacks/development/axq2rsxnmht57kq9sxpt/n0"
BUCKETS = ("s3/my-bucket", "gs/my-bucket", "abfs/my-container")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line it begins at, why it is not run."""

    language: str
    text: str
    line: int
    not_run: str

    @property
    def saved_as(self) -> str | None:
        found = re.match(r"# (\w+\.py)\n", self.text)
        return found[1] if self.language == "python" and found else None


_FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.*) -->\n+)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


def blocks_of(document: Path) -> list[Block]:
    text = document.read_text()
    assert text.count("```") % 2 == 0, f"{document.name}: a fence is not closed"
    return [
        Block(
            found["language"],
            found["text"],
            text.count("\n", 0, found.start("text")) + 1,
            found["reason"] or "",
        )
        for found in _FENCE.finditer(text)
    ]


@pytest.fixture(scope="module")
def buckets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node of Flyte with the steps 1000, 2000 and 3000 of attempt 0, in a bucket on each cloud."""
    top = tmp_path_factory.mktemp("buckets")
    first, *others = (top / bucket / "data" for bucket in BUCKETS)
    with ckptptr.open(f"{first}/{NODE}", attempt=0) as checkpoints:
        checkpoints.restore()
        for step in (1000, 2000, 3000):
            checkpoints.save(f"state {step}".encode(), step=step)
    (first / "seeds/llama").mkdir(parents=True)
    (first / "seeds/llama/model.pt").write_bytes(b"weights")
    for other in others:
        shutil.copytree(first, other)  # references are relative: a root that is copied restores unchanged
    return top


@pytest.fixture
def reader(tmp_path: Path, buckets: Path) -> tuple[Path, dict[str, str]]:
    """A folder to type in, and an environment."""
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    shutil.copytree(buckets, tmp_path / "buckets")
    binaries = tmp_path / "bin"
    binaries.mkdir()
    _program(binaries / "python", f"exec {sys.executable}")
    for name in ("aws", "gcloud", "az"):
        _program(binaries / name, f"exec {sys.executable} -S {STANDING_IN / 'stand_ins.py'} {name}")
    _program(binaries / "ckptptr", f"exec {sys.executable} -m ckptptr.cli")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CKPTPTR_", "FLYTE_"))}
    return (
        tmp_path,
        {
            **kept,
            "PATH": f"{binaries}:{kept['PATH']}",
            "PYTHONPATH": f"{STANDING_IN}:{PROJECT}",
            "BUCKETS": str(tmp_path / "buckets"),
            "HOME": str(tmp_path),
            "COLUMNS": "140",
            "NO_COLOR": "1",
        },
    )


def _program(path: Path, line: str) -> None:
    path.write_text(f'#!/usr/bin/env bash\n{line} "$@"\n')
    path.chmod(0o755)


def _marked(document: Path) -> object:
    if document.name in {"getting-started.md", "migrating.md"}:
        marks = [pytest.mark.servers]  # those run pyflyte-execute
    else:
        marks = [pytest.mark.flytekit if document.name == "README.md" else pytest.mark.slow]
    return pytest.param(document, id=document.name, marks=marks)


@pytest.mark.slow
@pytest.mark.parametrize("document", [_marked(d) for d in DOCUMENTS if d.name not in RUN_ELSEWHERE])
def test_every_command_and_snippet_runs_and_prints_what_is_said(
    document: Path, reader: tuple[Path, dict[str, str]]
) -> None:
    check_that_it_runs(document, reader)


def check_that_it_runs(document: Path, reader: tuple[Path, dict[str, str]]) -> None:
    here, environ = reader
    blocks = blocks_of(document)
    script = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        assert block.language in {"sh", "python", "text", "json", ""}, (
            f"line {block.line}: which language is it?"
        )
        assert not block.not_run or block.not_run in NOT_RUN, f"line {block.line}: {block.not_run}"
        if block.not_run or block.language in {"text", ""}:
            continue
        if block.language == "sh":
            lines = "\n".join(_checked(line) for line in block.text.splitlines())
        elif block.saved_as:
            (here / block.saved_as).write_text(block.text)
            assert any(block.saved_as.removesuffix(".py") in other.text for other in blocks[number + 1 :])
            continue
        else:
            (here / f"block_{number}.{block.language}").write_text(block.text)
            lines = (
                f"python {'-m json.tool' if block.language == 'json' else ''} block_{number}.{block.language}"
            )
        script.append(f"echo {block.line} >at\n{{ :\n{lines}\n}} >out.{number}")
    (here / "script").write_text("\n".join(script))
    done = subprocess.run(
        ["bash", "script"], cwd=here, env=environ, capture_output=True, text=True, check=False, timeout=170
    )
    at = (here / "at").read_text().strip() if (here / "at").exists() else "0"
    printed = "".join(path.read_text() for path in here.glob("out.*"))
    assert done.returncode == 0, f"{document.name}, block at line {at}:\n{printed[-2000:]}\n{done.stderr}"
    for number, block in enumerate(blocks):
        if block.language == "text" and not block.not_run:
            told = (here / f"out.{number - 1}").read_text()
            assert _alike(block.text) in _alike(told), (
                f"{document.name}, line {block.line}; it prints:\n{told}"
            )


def _checked(line: str) -> str:
    """The line to run: one that installs or builds something is only looked at."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["pip", "install"]:
        project = (PROJECT / "pyproject.toml").read_text()
        for name in words[2:]:
            found = re.fullmatch(r"ckptptr\[([a-z0-9,]+)\]|\.", name)
            assert found, f"what is {name}?"
            for extra in (found[1] or "all").split(","):
                assert re.search(rf"^{extra} = \[", project, re.MULTILINE), f"there is no extra {extra}"
        return ":"
    if words[:1] == ["make"]:
        makefile = (PROJECT / "Makefile").read_text()
        for target in words[1:]:
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"there is no target {target}"
        return ":"
    return line


def _alike(text: str) -> str:
    """Without what differs from run to run: names that are drawn, times, processes, columns."""
    text = re.sub(r"(\d{10}-a\d{4}-)[a-z0-9]{6,}", r"\1", text)
    text = re.sub(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d( UTC|Z)?", "", text)
    text = re.sub(r"\b(just now|\d+ \w+ ago)\b,?", "", text)
    text = re.sub(r"\S+/\d+/[a-z0-9]{6}\b", "", text)
    text = re.sub(r"\b\d+\.\d\b", "", text)
    return re.sub(r"[ \n]+", " ", text).strip()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda found: found.name)
def test_a_command_within_a_sentence_exists(document: Path) -> None:
    prose = re.sub(r"```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`]+)`", prose):
        words = code.split()
        if words[0] in {"pip", "make"}:
            assert _checked(" ".join(words)) == ":", f"what is {code}?"
        if words[0] == "ckptptr" and len(words) > 1:
            command = COMMANDS.get(words[1].removesuffix(":")) or words[1] in {"COMMAND", "--help"}
            assert command, f"there is no {code}"
            options = [
                word.partition("=")[0] for word in words[2:] if word.startswith("--") and word != "--help"
            ]
            told = "" if not options else _help(words[1])
            assert [option for option in options if option not in told] == []


def _help(command: str) -> str:
    return CliRunner().invoke(main, [command, "--help"]).output


def test_what_is_not_run_is_marked_and_nothing_is_marked_for_another_reason() -> None:
    reasons = re.findall(r"<!-- not run: (.*?) -->", "".join(document.read_text() for document in DOCUMENTS))
    assert len(reasons) == sum(bool(b.not_run) for document in DOCUMENTS for b in blocks_of(document))
    assert set(reasons) <= NOT_RUN


_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, *(PROJECT / name for name in ALSO_LINKED)],
    ids=lambda document: str(document.relative_to(PROJECT)),
)
def test_every_link_leads_somewhere(document: Path) -> None:
    text = re.sub(r"```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in _LINK.findall(text):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), f"{document.name}: {link}"
        if anchor:
            assert anchor in _anchors(target), f"{document.name}: {link}"


def _anchors(document: Path) -> set[str]:
    """The anchors that a code host makes of the headings."""
    text = re.sub(r"```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_leads_to_every_document() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert [d.name for d in DOCUMENTS[1:] if f"(docs/{d.name})" not in readme] == []


def test_every_setting_of_the_code_is_in_the_table_of_the_reference() -> None:
    code = "".join(path.read_text() for path in Path(ckptptr.__file__).parent.rglob("*.py"))
    used = set(re.findall(r"\bCKPTPTR_[A-Z_]+", code))
    listed = re.findall(r"^\| `(CKPTPTR_[A-Z_]+)`", (PROJECT / "docs/reference.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(used)


def test_every_command_and_public_name_is_in_the_reference() -> None:
    reference = (PROJECT / "docs/reference.md").read_text()
    assert [name for name in COMMANDS if f"`ckptptr {name}" not in reference] == []
    assert [
        name for name in ckptptr.__all__ if f"`{name}" not in reference and not name.startswith("_")
    ] == []
