"""The log: one line for each message, as text or as JSON. Names, references and notes come from buckets.

All loggers of the package are below `ckptptr`, and none of its messages has a control character of its own.
"""

from __future__ import annotations

import json
import logging
import os
import sys

from ckptptr.events import EXTRA
from ckptptr.settings import LOG
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


class JsonLines(logging.Formatter):
    """One JSON object a line, with the keys of flytekit's JSON lines, and `ckptptr` for what an event has."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "asctime": self.formatTime(record),
            "name": record.name,
            "levelname": record.levelname,
            "message": record.getMessage(),
        }
        event = getattr(record, EXTRA, None)
        return json.dumps({**line, EXTRA: event} if event else line)


def formatter(text: str, variable: str = "") -> logging.Formatter:
    """JSON lines if `CKPTPTR_LOG` asks for them, or without it `variable`; else lines as `text` says.

    Args:
        variable: of the environment: `json` if the platform writes its own log so.

    Raises:
        SettingError: `CKPTPTR_LOG` cannot be understood.
    """
    asked = LOG.read() or os.environ.get(variable)
    return JsonLines() if asked == "json" else logging.Formatter(text)


def log_to_stderr(variable: str = "") -> None:
    """Write the log to stderr, unless the program has set up logging itself.

    Args:
        variable: see `formatter`.

    Raises: as `formatter`.
    """
    log = logging.getLogger(LOGGERS[0])
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter("ckptptr: %(message)s", variable))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
