"""`ckptptr report`: one file, where it was asked for, and over nothing that is not a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import EXECUTION, FlyteNode, run, run_json


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FlyteNode:
    """Attempt 0 has saved the steps 1 and 2; this is the working directory."""
    monkeypatch.chdir(tmp_path)
    node = FlyteNode(tmp_path / "data")
    node.save(0, 1, 2)
    return node


def test_without_a_name_it_is_called_after_execution_and_node(node: FlyteNode, tmp_path: Path) -> None:
    said = run("report", node.url)
    assert said.exit_code == 0, said.stderr
    name = f"ckptptr-{EXECUTION}-n0.html"
    assert said.stdout == f"The next attempt resumes from step 2. The page is {name}\n"
    assert "<h1>The next attempt resumes from step 2.</h1>" in (tmp_path / name).read_text()


def test_a_report_is_written_over(node: FlyteNode, tmp_path: Path) -> None:
    assert run("report", node.url, "-o", "page.html").exit_code == 0
    node.save(1, 3)
    assert run("report", node.url, "-o", "page.html").exit_code == 0
    assert "resumes from step 3" in (tmp_path / "page.html").read_text()


def test_any_other_file_is_not_unless_that_is_said(node: FlyteNode, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.html"
    thesis.write_text("<!doctype html>\n<title>Mine</title>")
    said = run("report", node.url, "-o", "thesis.html")
    assert said.exit_code == 2
    assert "--force" in said.stderr
    assert "Mine" in thesis.read_text()
    assert run("report", node.url, "-o", "thesis.html", "--force").exit_code == 0
    assert "resumes from step 2" in thesis.read_text()


def test_a_folder_is_refused_and_a_missing_one_is_an_error_of_the_disk(node: FlyteNode) -> None:
    assert run("report", node.url, "-o", "data").exit_code == 2
    assert run("report", node.url, "-o", "missing/page.html").exit_code == 8


def test_a_dash_is_stdout(node: FlyteNode, tmp_path: Path) -> None:
    said = run("report", node.url, "-o", "-")
    assert said.stdout.startswith("<!doctype html>")
    assert said.stdout.endswith("</html>\n")
    assert not [*tmp_path.glob("*.html")]


def test_json_prints_what_the_page_shows_and_writes_none(node: FlyteNode, tmp_path: Path) -> None:
    told = run_json("report", node.url)
    assert [item["step"] for item in told["checkpoints"]] == [2, 1]
    assert told["attempts"][-1]["words"] == "would resume from step 2"
    assert told["show"] == run_json("show", node.url)
    for entry, listed in zip(told["checkpoints"], run_json("log", node.url)["checkpoints"], strict=True):
        assert listed.items() <= entry.items()
    assert not [*tmp_path.glob("*.html")]
    assert run("report", node.url, "--json", "-o", "page.html").exit_code == 2


@pytest.mark.usefixtures("node")
def test_without_a_checkpoint_there_is_a_page_and_exit_code_3(tmp_path: Path) -> None:
    other = FlyteNode(tmp_path / "data", "n1")
    other.latest.parent.mkdir(parents=True)
    other.latest.write_text("none")
    said = run("report", other.url, "-o", "page.html")
    assert said.exit_code == 3
    assert "The next attempt starts fresh." in (tmp_path / "page.html").read_text()
