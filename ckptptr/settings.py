"""Every environment variable of ckptptr: name, meaning, default, and how its value is read.

No other module parses one. A value that makes no sense is a `SettingError` that names the variable
and the value. The table in docs/reference.md is checked against `SETTINGS` by a test. Nothing heavy is
imported here.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from ckptptr.errors import SettingError

_T = TypeVar("_T")


class Setting(Generic[_T]):
    """One environment variable.

    Args:
        name: of the variable.
        default: its value where it is not set, or blank.
        parse: reads a text that is not blank; raises ValueError.
        expects: what a value must be, in words, for the error.
        meaning: for the reference.
        shown_default: the default, for the reference; empty where there is none.
        is_internal: whether ckptptr sets it for its own processes, and people never do.
    """

    def __init__(
        self,
        name: str,
        default: _T,
        parse: Callable[[str], _T],
        expects: str,
        meaning: str,
        *,
        shown_default: str = "",
        is_internal: bool = False,
    ) -> None:
        self.name = name
        self.default = default
        self.meaning = meaning
        self.shown_default = shown_default
        self.is_internal = is_internal
        self._parse = parse
        self._expects = expects

    def read(self, environ: Mapping[str, str] = os.environ) -> _T:
        """The value in `environ`.

        Raises:
            SettingError: it is not what is expected; names the variable and the value.
        """
        text = environ.get(self.name, "").strip()
        if not text:
            return self.default
        try:
            return self._parse(text)
        except ValueError:
            raise SettingError(
                f"{self.name} is {text!r}, not {self._expects}", hint=f"Correct it, or unset {self.name}"
            ) from None


class Best(NamedTuple):
    """`CKPTPTR_KEEP_BEST`: how many checkpoints, ranked by which key of the metadata, in which order."""

    metric: str
    lower_is_better: bool
    how_many: int


def _best(text: str) -> Best:
    found = re.fullmatch(r"(?P<metric>[^:].*?)(?::(?P<order>min|max))?(?::(?P<count>[0-9]+))?", text)
    if found is None:
        raise ValueError
    return Best(found["metric"], found["order"] != "max", _count(found["count"] or "1"))


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError
    return int(text)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= threading.TIMEOUT_MAX:  # which `nan` is not either
        raise ValueError
    return seconds


def _is_on(text: str) -> bool:
    return text.lower() not in {"0", "false", "no"}


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        return words[words.index(text.lower())]

    return parse


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def _switch(name: str, meaning: str) -> Setting[bool]:
    return Setting(name, False, _is_on, "a switch", f"a switch: {meaning}")


def _internal(name: str, meaning: str) -> Setting[str]:
    return Setting(name, "", str, "a text", meaning, is_internal=True)


DISABLE = _switch(
    "CKPTPTR_DISABLE",
    "tasks use stock flytekit checkpoints; `current_context().checkpoint` is not replaced",
)
KEEP_LAST = Setting(
    "CKPTPTR_KEEP_LAST",
    3,
    _count,
    "a count from 1 on",
    "how many of the newest checkpoints of a task to keep",
    shown_default="3",
)
KEEP_EVERY: Setting[int | None] = Setting(
    "CKPTPTR_KEEP_EVERY",
    None,
    _count,
    "a count from 1 on",
    "also keep each checkpoint whose step is a multiple of this",
)
KEEP_BEST: Setting[Best | None] = Setting(
    "CKPTPTR_KEEP_BEST",
    None,
    _best,
    "METRIC, METRIC:min or METRIC:max, and then :COUNT if more than one",
    "also keep the best by a number in the metadata: `loss`, `accuracy:max`, `loss:min:3`",
)
SEED = Setting(
    "CKPTPTR_SEED",
    "",
    str,
    "a place",
    "where a task without a checkpoint begins: a node prefix, checkpoint, home or folder, in the same kind"
    " of store. If nothing is there, the task fails and says so",
)
ACROSS_PARENT_RETRIES = _switch(
    "CKPTPTR_ACROSS_PARENT_RETRIES",
    "children of a retried dynamic or sub-workflow continue from the previous attempt's child of the same"
    " task and version; map indices always do",
)
ALLOW_ROOTS: Setting[tuple[str, ...]] = Setting(
    "CKPTPTR_ALLOW_ROOTS",
    (),
    _list,
    "a list of URLs",
    "other places that LATEST may name, `s3://other-bucket/data`; separated by commas or blanks",
)
STRICT = _switch(
    "CKPTPTR_STRICT",
    "LATEST and manifests may only name what is below the root, `CKPTPTR_ALLOW_ROOTS` is ignored, and plain"
    " folders, which have no digests, are not restored",
)
GUARANTEE: Setting[str | None] = Setting(
    "CKPTPTR_GUARANTEE",
    None,
    _one_of("compare-and-swap", "last-writer-wins"),
    "compare-and-swap or last-writer-wins",
    "`compare-and-swap` or `last-writer-wins`: what to assume of a custom endpoint, instead of testing it",
)
ENGINE = Setting(
    "CKPTPTR_ENGINE",
    "auto",
    _one_of("auto", "fsspec", "obstore"),
    "one of auto, fsspec, obstore",
    "`auto`, `fsspec` or `obstore`: what moves payload. `auto` uses obstore where it is installed and can"
    " use the filesystem's credentials",
    shown_default="`auto`",
)
EXIT_DEADLINE = Setting(
    "CKPTPTR_EXIT_DEADLINE",
    600.0,
    _seconds,
    "a number of seconds",
    "for how many seconds the end of the process waits for background saves",
    shown_default="600",
)
IGNORE: Setting[tuple[str, ...]] = Setting(
    "CKPTPTR_IGNORE",
    (),
    _list,
    "a list of patterns",
    "what is not saved of a folder: patterns as in `.gitignore`, separated by commas or blanks",
)
LINKS = Setting(
    "CKPTPTR_LINKS",
    "follow",
    _one_of("follow", "skip", "refuse"),
    "follow, skip or refuse",
    "`follow`, `skip` or `refuse`: symbolic links that lead out of a folder that is saved, or nowhere",
    shown_default="`follow`",
)
STAGING = Setting(
    "CKPTPTR_STAGING",
    "",
    str,
    "a folder",
    "where background saves keep their files until they are sent; else a folder on the same disk",
)
LOG: Setting[str | None] = Setting(
    "CKPTPTR_LOG",
    None,
    _one_of("text", "json"),
    "text or json",
    "`text` or `json`: the lines of the log on stderr, unless the program has set up logging itself. If it is"
    " not set, a task writes text, or JSON if `FLYTE_SDK_LOGGING_FORMAT` (in Flyte 2 `LOG_FORMAT`) is `json`;"
    " other programs write only warnings",
)
ROUND = _internal("CKPTPTR_ROUND", "set by ckptptr for the processes that a rank starts: its round of ranks")
HANDED_ON = _internal(
    "CKPTPTR_HANDED_ON", "set by ckptptr for the workers of a distributed task: which node they belong to"
)
TESTING_FAULTS = _internal(
    "CKPTPTR_TESTING_FAULTS", "set by `ckptptr.testing` for its pods: which requests fail"
)
TESTING_LOG = _internal(
    "CKPTPTR_TESTING_LOG", "set by `ckptptr.testing` for its pods: where they write what they did"
)
TESTING_POD = _internal(
    "CKPTPTR_TESTING_POD", "set by `ckptptr.testing` for its pods: the first process of the pod"
)

SETTINGS: tuple[Setting[Any], ...] = (
    *(DISABLE, KEEP_LAST, KEEP_EVERY, KEEP_BEST, SEED, ACROSS_PARENT_RETRIES, ALLOW_ROOTS, STRICT),
    *(GUARANTEE, ENGINE, EXIT_DEADLINE, IGNORE, LINKS, STAGING, LOG),
    *(ROUND, HANDED_ON, TESTING_FAULTS, TESTING_LOG, TESTING_POD),
)
"""All of them, in the order of the reference."""


def check_all(environ: Mapping[str, str] = os.environ) -> None:
    """Read all that people set.

    Raises:
        SettingError: a value cannot be understood.
    """
    for setting in SETTINGS:
        if not setting.is_internal:
            setting.read(environ)
