"""The plugin in a pytest of its own, as users have it; and the documentation, run as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import run

pytest_plugins = ["pytester"]

PROJECT = Path(__file__).parents[2]
DOCUMENT = (PROJECT / "docs/testing.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
# By its module, whether or not the entry point is installed.
PLUGIN = ("-p", "no:ckptptr", "-p", "ckptptr.testing.pytest_plugin", "-p", "no:cacheprovider")


@pytest.mark.servers
def test_the_snippets_of_the_documentation_pass(pytester: pytest.Pytester) -> None:
    assert len(SNIPPETS) == 2
    (pytester.path / "examples").symlink_to(PROJECT / "examples")
    pytester.makepyfile(**{f"test_{number}": snippet for number, snippet in enumerate(SNIPPETS)})
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=2)


@pytest.mark.servers
def test_the_timeline_of_the_documentation_is_what_the_command_prints(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(PROJECT)
    (line,) = re.findall(r"^ckptptr simulate .*", DOCUMENT, re.MULTILINE)
    (shown,) = re.findall(r"```\n(attempt .*?)```", DOCUMENT, re.DOTALL)
    result = run(*shlex.split(line)[1:])
    assert result.exit_code == 0, result.output
    assert _without_seconds(shown) in _without_seconds(result.stdout)


def _without_seconds(text: str) -> str:
    return re.sub(r" +", " ", re.sub(r"\b\d+\.\d\b", "", text))


@pytest.mark.servers
def test_a_test_that_fails_shows_the_timeline(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        from ckptptr.testing import assert_resumes, simulate

        def test_it(flyte_node):
            folder = {str(PROJECT / "examples")!r}
            node = flyte_node("counter_task", "count_to", folder=folder, inputs={{"n": 2}})
            assert str(node.root).endswith("data")
            assert_resumes(simulate(node, ["after save 9"]))
        """
    )
    result = pytester.runpytest_subprocess(*PLUGIN)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*attempt 0: 'after save 9' never came",
            "E*nothing was resumed",
            "E*Finished; nothing was resumed*",
        ]
    )


@pytest.mark.slow
def test_the_plugin_loads_nothing_before_it_is_used(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("ckptptr.testing.pytest_plugin")
            assert not {"flytekit", "msgspec", "fsspec", "ckptptr.testing.attempts"} & set(sys.modules)
        """
    )
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1)


def test_the_plugin_is_an_entry_point() -> None:
    project = (PROJECT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nckptptr = "ckptptr.testing.pytest_plugin"\n' in project


def test_the_names_of_the_package_are_there_and_loaded_when_asked_for() -> None:
    code = """
import sys, ckptptr.testing as testing
assert not {"pytest", "flytekit", "msgspec"} & set(sys.modules)
testing.simulate, testing.assert_resumes, testing.SimulatedNode, testing.Life, testing.Attempt
assert not {"pytest", "flytekit"} & set(sys.modules)
assert all(getattr(testing, name).__doc__ for name in testing.__all__)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
