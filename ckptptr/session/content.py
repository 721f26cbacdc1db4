"""The content rules: what a save changes, and what the checkpoint consists of after it.

A folder or bytes *replace* the content; a file is *added* to it, or replaces the one of its name:
stock tasks save file after file and expect to find all of them.
"""

from __future__ import annotations

import io
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, TypeAlias

from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.manifest import FileRecord, folders_above
from ckptptr.protocol.names import BYTES_NAME
from ckptptr.transfer.folder import Selection, folder, one_file
from ckptptr.transfer.plan import Local

Saveable: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | io.IOBase


@dataclass(frozen=True, slots=True)
class Content:
    """What the current checkpoint consists of, and where its objects are.

    `reference` names the checkpoint; empty where there is none yet. `is_at_risk`: perhaps no
    save has published it, and a run that committed it beside a hold is deleting it.
    """

    reference: str = ""
    home: str = ""
    files: dict[str, FileRecord] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    is_at_risk: bool = False

    @classmethod
    def of(cls, found: Found, files: list[FileRecord] | None = None, *, is_at_risk: bool = False) -> Content:
        records = found.files if files is None else files
        folders = found.manifest.folders if found.manifest else ()
        by_path = {record.path: record for record in records}
        return cls(found.reference, found.home, by_path, folders, is_at_risk)

    def file(self, name: str | None) -> tuple[str, FileRecord]:
        """The home, and the record of the file of that name in it; without a name, of the only file.

        Raises:
            NotFoundError: there is no such file.
        """
        only = next(iter(self.files.values())) if len(self.files) == 1 else None
        record = only if name is None else self.files.get(name)
        if record is None:
            there = ", ".join([*self.files][:5]) or "no checkpoint at all"
            raise NotFoundError("the checkpoint has no such file", key=name or "", hint=f"There is {there}")
        return self.home, record

    def beside(self, added: Collection[str], *, without: Collection[str] = ()) -> Content:
        """What stays when other files are added: a path is a file or a folder, not both."""
        stays = {path: self.files[path] for path in _beside(added, self.files) if path not in without}
        return replace(self, files=stays, folders=tuple(_beside(added, self.folders)))


@dataclass(frozen=True, slots=True)
class Change:
    """What one save, or a batch of them, does to the content."""

    files: dict[str, Local] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    replaces: bool = False

    def then(self, later: Change) -> Change:
        """Both, one after the other."""
        if later.replaces:
            return later
        kept = {path: self.files[path] for path in _beside(later.files, self.files)}
        folders = (*_beside(later.files, self.folders), *later.folders)
        return Change(kept | later.files, folders, self.replaces)


def _beside(added: Collection[str], paths: Iterable[str]) -> list[str]:
    """Those of `paths` that stay when files are added: a path is a file or a folder, never both."""
    gone = {*added, *(folder for path in added for folder in folders_above(path))}
    return [p for p in paths if p not in gone and not any(folder in added for folder in folders_above(p))]


def change_of(content: Saveable, selection: Selection | None = None) -> Change:
    """What saving `content` means.

    Args:
        selection: which files of a folder are meant; all, where it is not given.

    Raises:
        InvalidArgumentError: it is nothing that can be saved, or `selection` refuses it.
        LocalDiskError: it cannot be read.
    """
    if isinstance(content, bytes | bytearray | memoryview):
        whole = bytes(content)
        return Change({BYTES_NAME: Local(BYTES_NAME, whole, len(whole))}, replaces=True)
    if isinstance(content, str | os.PathLike):
        if not os.fspath(content):  # `Path("")` is the working directory
            raise InvalidArgumentError("the path to save is empty")
        path = Path(content)
        if os.path.isdir(path):  # `Path.is_dir` raises for a name that is too long
            files, folders = folder(path, selection)
            return Change({file.path: file for file in files}, tuple(folders), replaces=True)
        if not os.path.exists(path):
            raise InvalidArgumentError("there is no such file or folder to save", key=str(path))
        file = one_file(path)
        return Change({file.path: file})
    read = getattr(content, "read", None)
    data = read() if callable(read) else None
    if not isinstance(data, bytes):
        raise InvalidArgumentError(
            "what was given cannot be saved", hint="Save a path, bytes, or a reader opened in binary mode"
        )
    return change_of(data)


def replacement(content: str | os.PathLike[str] | bytes, selection: Selection) -> Change:
    """What saving `content` means where it is always the whole content, and a file loses its name.

    Raises: as `change_of`.
    """
    change = change_of(content, selection)
    if change.replaces:
        return change
    (file,) = change.files.values()
    return Change({BYTES_NAME: replace(file, path=BYTES_NAME)}, replaces=True)


def addition(file: str | os.PathLike[str]) -> Change:
    """What adding one file means.

    Raises:
        InvalidArgumentError: it is not the path of a file.
        LocalDiskError: it cannot be read.
    """
    if not isinstance(file, str | os.PathLike) or os.path.isdir(file):
        raise InvalidArgumentError(
            "only the path of one file can be added",
            key=str(file) if isinstance(file, str | os.PathLike) else "",
            hint="save() makes a folder or bytes the whole content",
        )
    return change_of(file)
