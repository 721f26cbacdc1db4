"""What there is to save on this disk: a file, or the files of a folder, as a program left them.

Trainers write logs while they are saved, delete old files, and leave links that lead anywhere. Stock
flytekit finishes over such a folder, and so does this: what cannot be saved is left out, with one warning
for each reason, and `Selection` says what else is.
"""

from __future__ import annotations

import logging
import os
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from pathspec import GitIgnoreSpec

from ckptptr.errors import InvalidArgumentError, LocalDiskError
from ckptptr.hidden import HIDDEN
from ckptptr.protocol.manifest import check_path
from ckptptr.transfer.plan import Local

log = logging.getLogger("ckptptr")

Links: TypeAlias = Literal["follow", "skip", "refuse"]

_USUAL_MODE = 0o644
_NAMED = 5
"""How many names a warning gives."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which files of a folder are saved.

    Args:
        ignore: patterns as in `.gitignore`, relative to the folder: what they match is left out.
        links: how to save symbolic links that lead out of the folder, or nowhere. `follow`: the files
            that they lead to are saved, and a link that leads nowhere is left out with a warning. `skip`:
            both are left out with a warning. `refuse`: `InvalidArgumentError`. A link inside the folder is
            saved as what it points to, always.
        without: files and folders that are never saved, by their real paths: those of the store itself.

    Raises:
        InvalidArgumentError: `links` is none of the three, or a pattern cannot be understood.
    """

    ignore: tuple[str, ...] = ()
    links: Links = "follow"
    without: tuple[Path, ...] = ()
    _spec: GitIgnoreSpec = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.links not in get_args(Links):
            raise InvalidArgumentError(f"links is {self.links!r}", hint="It is follow, skip or refuse")
        object.__setattr__(self, "_spec", patterns(self.ignore, "ignore"))

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        return bool(self.ignore) and self._spec.match_file(f"{path}/" if is_folder else path)


def patterns(lines: Iterable[str], what: str) -> GitIgnoreSpec:
    """Patterns as in `.gitignore`; `what` they are given as.

    Raises:
        InvalidArgumentError: they are none.
    """
    try:
        return GitIgnoreSpec.from_lines(lines)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{what} is {lines!r}: {error}", hint="It takes patterns as in .gitignore"
        ) from error


def one_file(path: Path, name: str | None = None, top: Path | None = None) -> Local:
    """A file under its own name, or another.

    Args:
        top: the folder that it was found in; None where the caller named the file.

    Raises:
        InvalidArgumentError: it is not a regular file.
        LocalDiskError: it cannot be looked at.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise LocalDiskError(f"cannot read the file ({error.strerror})", key=str(path)) from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidArgumentError("neither a file nor a folder", key=str(path))
    return _local(str(path), name or _name(path.name), status, top)


def folder(top: Path, selection: Selection | None = None) -> tuple[list[Local], list[str]]:
    """`(files, empty folders)` below `top`, by name.

    Raises:
        InvalidArgumentError: the store itself is in `top` and nowhere else, or what `selection` refuses.
        LocalDiskError: something cannot be looked at.
    """
    walk = _Walk(top, selection or Selection())
    try:
        found = list(walk.below(str(top), (), ""))
    except OSError as error:
        raise LocalDiskError(
            f"cannot read the folder ({error.strerror})", key=str(error.filename or top)
        ) from error
    walk.warn()
    files = [item for item in found if isinstance(item, Local)]
    return files, [item for item in found if isinstance(item, str)]


def tell_missing(files: Iterable[Local]) -> None:
    """One warning for the files of a folder that were deleted before they were read."""
    in_order = sorted(files, key=lambda file: (str(file.top), file.path))
    for top, missing in groupby(in_order, key=lambda file: file.top):
        _tell(str(top), "deleted meanwhile", [file.path for file in missing])


def _tell(top: str, reason: str, names: list[str]) -> None:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    log.warning("not saved of %s: %s%s (%s)", top, ", ".join(names[:_NAMED]), more, reason)


class _Walk:
    """One walk through a folder, and what it leaves out."""

    def __init__(self, top: Path, selection: Selection) -> None:
        self._top = top
        self._real_top = _real(top)
        self._selection = selection
        self._without = {str(path) for path in selection.without}
        self._left_out: dict[str, list[str]] = defaultdict(list)
        if self._real_top in selection.without:
            raise InvalidArgumentError(
                "this folder holds the checkpoints themselves", key=str(top), hint="Save another folder"
            )

    def below(self, here: str, above: tuple[Path, ...], name: str) -> Iterator[Local | str]:
        real = _real(here)
        try:
            with os.scandir(here) as found:
                children = sorted(found, key=lambda child: child.name, reverse=True)
        except FileNotFoundError:
            if not name:
                raise
            return self._leave_out("deleted meanwhile", name)
        children = [child for child in children if not child.name.startswith(HIDDEN)]
        if not children and name:
            yield check_path(name)
        while children:  # each goes when it was looked at: there may be a million
            child = children.pop()
            inside = f"{name}/{_name(child.name)}" if name else _name(child.name)
            is_link = child.is_symlink()
            # `child.is_dir` raises for links that point at each other.
            is_folder = os.path.isdir(child.path) if is_link else child.is_dir(follow_symlinks=False)
            if self._selection.ignores(inside, is_folder=is_folder):
                continue
            if is_link and not self._follows(Path(child.path), inside, (*above, real)):
                continue
            if self._without and self._is_excluded(child, real):
                continue
            if is_folder:
                yield from self.below(child.path, (*above, real), inside)
            else:
                yield from self._file(child.path, inside)

    def warn(self) -> None:
        for reason, names in self._left_out.items():
            _tell(str(self._top), reason, names)

    def _is_excluded(self, child: os.DirEntry[str], real: Path) -> bool:
        is_there = os.path.realpath(child.path) if child.is_symlink() else os.path.join(real, child.name)
        return is_there in self._without

    def _file(self, path: str, inside: str) -> Iterator[Local]:
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return self._leave_out("deleted meanwhile", inside)
        if not stat.S_ISREG(status.st_mode):
            return self._leave_out("neither files nor folders", inside)
        yield _local(path, inside, status, self._top)

    def _follows(self, link: Path, inside: str, above: tuple[Path, ...]) -> bool:
        target = _real(link)
        if not target.exists():
            return self._refuses(link, inside, f"leads nowhere (to {target})", "links that lead nowhere")
        if target in above:
            return self._refuses(link, inside, "goes round in a circle", "links that go round in a circle")
        if target.is_relative_to(self._real_top) or self._selection.links == "follow":
            return True
        words = f"leaves the folder that is saved (to {target})"
        return self._refuses(link, inside, words, "links that leave the folder")

    def _refuses(self, link: Path, inside: str, what: str, reason: str) -> bool:
        if self._selection.links == "refuse":
            raise InvalidArgumentError(f"a symbolic link {what}", key=str(link))
        self._leave_out(reason, inside)
        return False

    def _leave_out(self, reason: str, inside: str) -> None:
        self._left_out[reason].append(inside)


def _local(path: str, name: str, status: os.stat_result, top: Path | None) -> Local:
    mode = stat.S_IMODE(status.st_mode) & 0o777  # no set-uid bit crosses machines
    return Local(
        check_path(name),
        path,
        status.st_size,
        None if mode == _USUAL_MODE else mode,
        mtime_ns=status.st_mtime_ns,
        top=top,
        inode=status.st_ino,
    )


def _name(name: str) -> str:
    """A name of this disk as a manifest has it: UTF-8, whatever the locale of this process says."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _real(path: str | Path) -> Path:
    """`path` without symbolic links; `Path.resolve` raises where they point at each other."""
    return Path(os.path.realpath(path))
