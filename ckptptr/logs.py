"""What goes to the log is one line: names, references and notes come from buckets.

All loggers of the package are below `ckptptr`, and none of its messages has a control character of its own.
"""

from __future__ import annotations

import logging
import sys

from ckptptr.wording import printable

LOGGERS = ("ckptptr", "ckptptr.stores")
"""All that the package logs to: filters of a logger do not see the records of those below it."""


class OneLine(logging.Filter):
    """Writes out the control characters of a message."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.isprintable():
            record.msg, record.args = printable(message), ()
        return True


_ONE_LINE = OneLine()


def escape_control_characters() -> None:
    """Let no message of the package be more than one line; done by whatever opens a store, once."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_ONE_LINE)


def log_to_stderr() -> None:
    """Write to the log of a pod what a restore found, unless the task has set up logging itself."""
    log = logging.getLogger("ckptptr")
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("ckptptr: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
