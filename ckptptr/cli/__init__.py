"""The command `ckptptr`: for people in trouble at 3 a.m. with nothing but access to the bucket.

One file per command; what they share is in `target` (which node is meant), `command` (options, errors),
`shapes` (what `--json` prints), `output` and `exit_codes`. No rule of the protocol lives here: a
command asks the library, and words the answer. Nothing heavy is imported before a command runs.
"""

from __future__ import annotations

from importlib import import_module

import click

from ckptptr.cli.exit_codes import as_table
from ckptptr.cli.verbosity import verbose_option
from ckptptr.version import __version__

COMMANDS = ("show", "log", "use", "report")
"""Each is the object `command` of the module of its name."""

EPILOG = f"""\b
TARGET is one of:
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>/<node>
                        a node of Flyte: its node prefix
  s3://bucket/data/_ckptptr/<project>/<domain>/<execution>
                        an execution: its node, where it has just one
  s3://bucket/run-42    what was given to ckptptr.open(), local paths too
  .../LATEST            the LATEST of either

\b
Exit codes:
{as_table()}
"""


class Commands(click.Group):
    """Loads the module of a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"ckptptr.cli.{cmd_name}").command
        return command


@click.command(
    cls=Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="ckptptr", message="%(prog)s %(version)s")
@verbose_option
def main() -> None:
    """Checkpoints that are always found, always whole, and can be chosen by hand."""
