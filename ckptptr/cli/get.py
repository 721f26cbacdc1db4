"""`ckptptr get`: download a checkpoint, or files of it, verified."""

from __future__ import annotations

from pathlib import Path

import click

from ckptptr.cli.choice import Choice, choosing, places, saying_what_can_be_chosen
from ckptptr.cli.command import answer, node_command
from ckptptr.cli.confirm import confirm
from ckptptr.cli.output import Output
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_of
from ckptptr.inspect.sentences import in_words
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.manifest import FileRecord
from ckptptr.protocol.resolve import Rejected, Resolver
from ckptptr.transfer.digest import holds
from ckptptr.transfer.download import Download
from ckptptr.transfer.progress import at_once
from ckptptr.wording import counted, first_few, size


@node_command("get", "Download a checkpoint, or files of it, verified.", shapes.Get)
@places
@choosing
@click.option("--file", "wanted", multiple=True, metavar="PATH", help="Only this file; repeatable.")
@click.option("--yes", is_flag=True, help="Replace different files in DEST without asking.")
def command(
    *,
    here: Here,
    as_json: bool,
    choice: Choice,
    destination: str,
    wanted: tuple[str, ...],
    yes: bool,
) -> None:
    """Download a checkpoint into the folder DEST. Its files appear there once all are verified.

    CHECKPOINT as for `ckptptr use`; the default is the one that the next attempt would resume from, or
    the next good one if that is damaged. Other files in DEST are kept. Files that are there already
    with the right digest are not fetched. LATEST does not move.
    """
    folder = Path(destination)
    if folder.exists() and not folder.is_dir():
        raise InvalidArgumentError("DEST is a file; it must be a folder", key=str(folder))
    with saying_what_can_be_chosen(here):
        told = _get(here, choice.found(here), folder, wanted, yes=yes, may_pass_over=not choice.is_made)
    answer(told, _print, as_json=as_json)


def _get(
    here: Here, found: Found, folder: Path, wanted: tuple[str, ...], *, yes: bool, may_pass_over: bool
) -> shapes.Get:
    files = _wanted(found, wanted)
    _ask(folder, files, yes=yes)
    rejected: tuple[Rejected, ...] = ()
    with Download(here.store, folder, at_once("downloading")) as download:
        if may_pass_over:
            resolver = Resolver(here.candidates, here.latest)
            resolution = resolver.resolve(lambda one: _fetch(download, one, wanted))
            if resolution.found is None:
                raise NotFoundError("every checkpoint is damaged", key=here.url)
            rejected = resolution.rejected
            if resolution.found.reference != found.reference:
                found = resolution.found
                files = _wanted(found, wanted)
                _ask(folder, files, yes=yes)
        files = download.fetch(found.home, files)
        download.install(files, found.manifest.folders if found.manifest and not wanted else ())
    return shapes.Get(
        node=here.url,
        checkpoint=checkpoint_of(here, found),
        destination=str(folder.absolute()),
        files=[record.path for record in files],
        bytes=sum(record.size for record in files),
        verified=found.manifest is not None,
        rejected=[
            shapes.Refused(reference=r.reference, reason=r.reason) for r in rejected if not r.is_absent
        ],
    )


def _fetch(download: Download, found: Found, wanted: tuple[str, ...]) -> None:
    download.fetch(found.home, [record for record in found.files if not wanted or record.path in wanted])


def _wanted(found: Found, wanted: tuple[str, ...]) -> list[FileRecord]:
    known = {record.path: record for record in found.files}
    missing = [path for path in wanted if path not in known]
    if missing:
        raise InvalidArgumentError(
            f"the checkpoint has no file {missing[0]!r}",
            key=found.reference,
            hint=f"It has {', '.join(first_few([*known]))}" if known else "It has none",
        )
    return [known[path] for path in wanted] if wanted else [*found.files]


def _ask(folder: Path, files: list[FileRecord], *, yes: bool) -> None:
    """Ask before files of other content are replaced."""
    replaced = [record.path for record in files if _differs(folder / record.path, record)]
    if replaced:
        listed = "\n".join(f"  {path}" for path in first_few(replaced))
        confirm(
            f"{counted(len(replaced), 'file')} in {folder} would be replaced:\n{listed}",
            "Replace?",
            "replacing files",
            yes=yes,
        )


def _differs(path: Path, record: FileRecord) -> bool:
    if not path.is_file():
        return False
    return path.stat().st_size != record.size or not holds(path, record)


def _print(told: shapes.Get) -> None:
    out = Output()
    count = counted(len(told.files), "file")
    checked = (
        "each with the digest that it was saved with" if told.verified else "not verified: it has no digests"
    )
    out.headline(f"{in_words(told.checkpoint).capitalize()} is in {told.destination}.")
    out.sentence(f"{size(told.bytes)} in {count}, {checked}.")
    for refused in told.rejected:
        out.sentence(f"Skipped {refused.reference}: {refused.reason}.", "yellow")
