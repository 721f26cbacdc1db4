"""The exit codes. Scripts depend on them: a number keeps its meaning."""

from __future__ import annotations

import enum

from ckptptr.errors import (
    CkptptrError,
    ConflictError,
    DamagedError,
    InvalidArgumentError,
    LocalMachineError,
    NotFoundError,
    OtherWorkError,
    OutcomeUnknownError,
    StoreUnavailableError,
    SupersededError,
    UnsupportedFormatError,
)


class ExitCode(enum.IntEnum):
    """The exit codes of every command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOTHING_FOUND = 3
    DAMAGED = 4
    UNSUPPORTED_FORMAT = 5
    STORE_UNAVAILABLE = 6
    CONFLICT = 7
    LOCAL_DISK = 8
    PROBLEMS = 9
    NOT_FINISHED = 10
    INTERRUPTED = 130
    READER_CLOSED = 141


_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected: a bug",
    ExitCode.USAGE: "it cannot be done as asked; nothing was changed",
    ExitCode.NOTHING_FOUND: "nothing found: the store confirmed that nothing is there",
    ExitCode.DAMAGED: "damaged: the content is not what was written",
    ExitCode.UNSUPPORTED_FORMAT: "written by a newer ckptptr: upgrade",
    ExitCode.STORE_UNAVAILABLE: "the store did not answer, or refused; checkpoints may exist",
    ExitCode.CONFLICT: "LATEST moved meanwhile, or it is unknown whether the write succeeded: run `show`",
    ExitCode.LOCAL_DISK: "this machine refused: its disk, or it starts no more threads",
    ExitCode.PROBLEMS: "`doctor` or `find` found a problem",
    ExitCode.NOT_FINISHED: "`simulate`: the task did not finish",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.READER_CLOSED: "the reader of the output closed it: `ckptptr log ... | head`",
}

_BY_ERROR: dict[type[CkptptrError], ExitCode] = {
    InvalidArgumentError: ExitCode.USAGE,
    OtherWorkError: ExitCode.USAGE,
    NotFoundError: ExitCode.NOTHING_FOUND,
    DamagedError: ExitCode.DAMAGED,
    UnsupportedFormatError: ExitCode.UNSUPPORTED_FORMAT,
    StoreUnavailableError: ExitCode.STORE_UNAVAILABLE,
    ConflictError: ExitCode.CONFLICT,
    SupersededError: ExitCode.CONFLICT,
    OutcomeUnknownError: ExitCode.CONFLICT,
    LocalMachineError: ExitCode.LOCAL_DISK,
}


def exit_code_of(error: CkptptrError) -> ExitCode:
    """The exit code of an error: that of its nearest class that has one."""
    return next((_BY_ERROR[kind] for kind in type(error).__mro__ if kind in _BY_ERROR), ExitCode.UNEXPECTED)


def as_table() -> str:
    """One line for each code, for `--help`."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in _MEANINGS.items())
