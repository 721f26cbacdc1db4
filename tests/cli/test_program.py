"""The command as a process of its own: what is imported, what a terminal sees, what a pipe sees."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

import ckptptr
from tests.cli.conftest import EXECUTION, FlyteNode
from tests.sampling import sampled

CKPTPTR = [sys.executable, "-m", "ckptptr.cli"]


def on_terminal(columns: int, *arguments: str) -> str:
    """What a terminal of that width shows, without colours."""
    return re.sub("\x1b\\[[0-9;]*m", "", raw_on_terminal(columns, *arguments))


def raw_on_terminal(
    columns: int,
    *arguments: str,
    program: Sequence[str] = CKPTPTR,
    exit_code: int = 0,
    **environment: str,
) -> str:
    """All that is sent to a terminal of that width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [*program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environ, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    said = b""
    while True:
        try:
            block = os.read(ours, 65536)
        except OSError:  # the other end is closed: the end of a pseudo-terminal
            break
        if not block:
            break
        said += block
    os.close(ours)
    assert process.wait(timeout=60) == exit_code
    return said.decode().replace("\r\n", "\n")


@pytest.mark.usefixtures("ids")
def test_a_process_prints_and_exits_as_documented(node: FlyteNode) -> None:
    done = subprocess.run([*CKPTPTR, "show", node.url], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The next attempt resumes from step 3.\n")
    missing = subprocess.run(
        [*CKPTPTR, "show", f"{node.root}/nowhere"], capture_output=True, text=True, check=False
    )
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "Traceback" not in missing.stderr


def test_the_installed_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("ckptptr")
    if not script.exists():
        pytest.skip("ckptptr is not installed here as a script")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ckptptr ")


def test_importing_it_and_asking_for_help_loads_nothing_heavy() -> None:
    code = """
import sys
from ckptptr.cli import main
heavy = {"rich", "jinja2", "msgspec", "fsspec", "s3fs", "flytekit", "ckptptr.protocol.pointer"}
heavy &= set(sys.modules)
assert not heavy, heavy
main(["log", "--help"], standalone_mode=False)
sdk = {"s3fs", "aiobotocore", "botocore", "gcsfs", "flytekit"} & set(sys.modules)
assert not sdk, sdk
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_on_a_narrow_terminal_rows_of_the_log_go_on_below(node: FlyteNode, ids: dict[int, str]) -> None:
    said = on_terminal(60, "log", node.url)
    row = next(line for line in said.splitlines() if line.lstrip().startswith("1 "))
    below = said.splitlines()[said.splitlines().index(row) + 1]
    assert ids[3] not in row
    assert ids[3] in below
    table = [line for line in said.splitlines() if str(node.root) not in line]
    assert max(len(line) for line in table) <= 60


@pytest.mark.usefixtures("ids")
def test_on_a_narrow_terminal_names_stay_and_each_column_is_printed_once(node: FlyteNode) -> None:
    said = on_terminal(60, "find", str(node.root))
    table = [line.split() for line in said.splitlines() if str(node.root) not in line][:5]
    assert (table.pop(0), table.pop(0)) == (["1", "readable"], [])
    assert table[0] == ["published", "step", "LATEST", "execution", "node"]
    assert table[1] == ["just", "now", "3", "readable", EXECUTION, "n0"]
    assert table[2] == ["flytesnacks/development"]


def test_on_a_wide_terminal_a_checkpoint_is_one_line(node: FlyteNode, ids: dict[int, str]) -> None:
    said = on_terminal(160, "log", node.url)
    assert any(line.lstrip().startswith("1 ") and ids[3] in line for line in said.splitlines())


def test_no_terminal_cuts_a_path(node: FlyteNode, ids: dict[int, str]) -> None:
    assert str(node.manifest(ids[3])) in on_terminal(40, "show", node.url)


COLOUR = re.compile("\x1b\\[(?:[0-9]+;)*(?:3[0-8]|9[0-7])[;m]")


@pytest.mark.parametrize("arguments", sampled([["log"], ["verify", "--deep"], ["doctor"]]))
@pytest.mark.usefixtures("ids")
def test_colours_are_for_terminals_and_go_with_no_color(node: FlyteNode, arguments: list[str]) -> None:
    command, *flags = arguments
    assert COLOUR.search(raw_on_terminal(100, command, node.url, *flags))
    assert not COLOUR.search(raw_on_terminal(100, command, node.url, *flags, NO_COLOR="1"))


def test_errors_have_a_colour_on_terminals_and_none_with_no_color(node: FlyteNode) -> None:
    nowhere = f"{node.root}/nowhere"
    assert COLOUR.search(raw_on_terminal(100, "show", nowhere, exit_code=3))
    assert not COLOUR.search(raw_on_terminal(100, "show", nowhere, exit_code=3, NO_COLOR="1"))


@pytest.mark.slow
@pytest.mark.usefixtures("ids")
def test_bytes_that_move_are_shown_on_a_terminal_and_not_in_a_pipe(node: FlyteNode, tmp_path: Path) -> None:
    assert "verifying" in on_terminal(100, "verify", node.url, "--deep")
    assert "downloading" in on_terminal(100, "get", node.url, str(tmp_path / "out"))
    assert "uploading" in on_terminal(100, "put", node.url, str(tmp_path / "out"))
    done = subprocess.run(
        [*CKPTPTR, "verify", node.url, "--deep"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "verifying" not in done.stdout


SLOWLY = """
import time
from ckptptr.cli import main
from ckptptr.inspect import target
from ckptptr.stores.open import open_store
from ckptptr.stores.wrappers.around import Around

class Slow(Around):
    block_size = 4

    def download(self, key, start, length):
        time.sleep(0.7)
        yield from self._store.download(key, start, length)

    def upload(self, key, blocks):
        return self._store.upload(key, (time.sleep(0.05) or block for block in blocks))

def slow(url, **options):
    store, key = open_store(url, **options)
    return Slow(store), key

target.open_store = slow
main()
"""
"""The command, whose transfers take more than a second."""


@pytest.mark.slow
def test_one_bar_is_drawn_however_long_it_takes(node: FlyteNode, tmp_path: Path) -> None:
    with ckptptr.open(node.url, attempt=0) as checkpoints:
        checkpoints.save(b"x" * 140, step=1)
    slowly = [sys.executable, "-c", SLOWLY]
    for verb, arguments in (
        ("downloading", ("get", node.url, str(tmp_path / "out"))),
        ("uploading", ("put", node.url, str(tmp_path / "out"))),
        ("verifying", ("verify", node.url, "--deep")),
    ):
        said = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", raw_on_terminal(100, *arguments, program=slowly))
        drawn = re.findall("([a-z]+) [━╸╺]+ ", said)
        assert set(drawn) == {verb}
        assert len(drawn) > 2, "the transfer was too quick to prove anything"


@pytest.mark.parametrize("arguments", sampled([["log"], ["doctor"], ["log", "--json"]]))
@pytest.mark.usefixtures("ids")
def test_a_reader_that_goes_away_is_no_error(node: FlyteNode, arguments: list[str]) -> None:
    command, *flags = arguments
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        [*CKPTPTR, command, node.url, *flags], stdout=writes, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("flags", [[], ["--json"]])
@pytest.mark.usefixtures("ids")
def test_a_full_disk_below_the_output_is_said_and_is_no_bug(node: FlyteNode, flags: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [*CKPTPTR, "use", node.url, "--step", "2", *flags]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert subprocess.run(command, stdout=full, stderr=full, check=False).returncode == 8
    assert done.returncode == 8
    assert "the output cannot be written (No space left on device)" in done.stderr
    assert "see `ckptptr show`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("ids")
def test_what_the_encoding_of_the_output_lacks_is_escaped(node: FlyteNode) -> None:
    def said(encoding: str, *flags: str) -> str:
        command = [*CKPTPTR, "use", node.url, "--step", "3", "--note", "ï“😀", *flags]
        environ = {**os.environ, "PYTHONIOENCODING": encoding}
        return subprocess.run(command, env=environ, capture_output=True, check=True).stdout.decode(encoding)

    assert r"\u00ef\u201c\ud83d\ude00" in said("ascii")
    assert r"ï\u201c\ud83d\ude00" in said("latin-1")
    assert json.loads(said("latin-1", "--json"))["latest"]["note"] == "ï“😀"


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
@pytest.mark.usefixtures("ids")
def test_output_that_is_closed_from_the_beginning_is_no_error(node: FlyteNode, closed: str) -> None:
    command = shlex.join([*CKPTPTR, "verify", node.url, "--deep"])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("ckptptr ro", "plain,rollback"),
        ("ckptptr use x --of", "plain,--of-attempt"),
        ("ckptptr un", "plain,unpin"),
    ],
)
def test_a_shell_completes_commands_and_options(words: str, completed: str) -> None:
    environ = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), "_CKPTPTR_COMPLETE": "bash_complete"}
    done = subprocess.run(CKPTPTR, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [completed]


@pytest.mark.slow
def test_what_the_help_says_about_completion_is_what_a_shell_evaluates() -> None:
    said = subprocess.run([*CKPTPTR, "--help"], capture_output=True, text=True, check=True).stdout
    for shell in ("bash", "zsh", "fish"):
        assert f"_CKPTPTR_COMPLETE={shell}_source ckptptr" in said
        environ = {**os.environ, "_CKPTPTR_COMPLETE": f"{shell}_source"}
        script = subprocess.run(CKPTPTR, env=environ, capture_output=True, text=True, check=True).stdout
        assert "_CKPTPTR_COMPLETE" in script


@pytest.mark.usefixtures("ids")
def test_sentences_of_doctor_wrap_below_themselves(node: FlyteNode) -> None:
    lines = on_terminal(60, "doctor", node.url).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("  2. If its payload"))
    assert lines[first + 1].startswith("     ")
    assert max(len(line) for line in lines) <= 60
