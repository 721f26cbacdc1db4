"""`ckptptr export`: copy a checkpoint, inside the store, to a plain folder that stock flytekit restores."""

from __future__ import annotations

import os

from ckptptr.cli.choice import Choice, choosing, places, saying_what_can_be_chosen
from ckptptr.cli.command import node_command
from ckptptr.cli.output import Output, echo
from ckptptr.errors import CkptptrError, DamagedError, InvalidArgumentError
from ckptptr.inspect import shapes
from ckptptr.inspect.describe import checkpoint_of
from ckptptr.inspect.sentences import ONLY_SIZES, in_words
from ckptptr.inspect.target import Here
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.complete import by_key, flaws
from ckptptr.protocol.manifest import is_plain_path
from ckptptr.protocol.names import DATA, MANIFESTS
from ckptptr.stores.port import HasAccount
from ckptptr.stores.urls import split
from ckptptr.stores.wrappers.around import unwrap
from ckptptr.transfer.copy import copy_all
from ckptptr.wording import counted, size


@node_command("export", "Copy a checkpoint, inside the store, to a plain folder.", shapes.Export)
@places
@choosing
def command(
    *,
    here: Here,
    as_json: bool,
    choice: Choice,
    destination: str,
) -> None:
    """Copy a checkpoint to the plain folder DEST, for stock flytekit or any other reader.

    CHECKPOINT as for `ckptptr use`; the default is the one that the next attempt would resume from. The
    store copies by itself, so DEST must be in the same store. It must be empty. LATEST does not move. Only
    sizes are compared: damage of the same size is copied too, so `ckptptr verify --deep` comes first.
    """
    key = _key(here, destination)
    with saying_what_can_be_chosen(here):
        found = choice.found(here)
        _copy(here, found, key)
    told = shapes.Export(
        node=here.url,
        checkpoint=checkpoint_of(here, found),
        destination=here.store.url(key),
        files=len(found.files),
        bytes=sum(record.size for record in found.files),
    )
    if as_json:
        echo(shapes.encode(told))
        return
    out = Output()
    out.headline(f"{in_words(told.checkpoint).capitalize()} is in {told.destination}.")
    out.sentence(f"{size(told.bytes)} in {counted(told.files, 'file')}, copied inside the store.")
    if any(record.mode is not None for record in found.files) or (found.manifest and found.manifest.folders):
        out.sentence("The copy has no permission bits and no empty folders.", "yellow")
    out.sentence(ONLY_SIZES, "dim")


def _key(here: Here, destination: str) -> str:
    """The key of the folder to copy to, in the store of the node.

    Raises:
        InvalidArgumentError: it is in another store, inside the node, or not empty.
    """
    place = split(destination)
    scheme, store = here.node.root.scheme, unwrap(here.adapter, HasAccount)
    account = store.account if store else ""
    if place.scheme != scheme or place.account not in ("", account):
        raise InvalidArgumentError(
            "a copy is only possible inside the same store",
            key=destination,
            hint="Download with `ckptptr get`",
        )
    key = os.path.abspath(place.key) if scheme == "file" else place.key.rstrip("/")
    if not is_plain_path(key.lstrip("/")) or (scheme != "file" and "/" not in key):
        raise InvalidArgumentError("this is not a plain path of a folder", key=destination)
    ours = [f"{home}/{part}" for home in here.node.own_homes(here.store) for part in (DATA, MANIFESTS)]
    if any(f"{key}/".startswith(f"{folder}/") for folder in (here.node.prefix, *ours)):
        raise InvalidArgumentError("this is inside the node itself", key=destination)
    if any(True for _ in here.store.list(key)):
        raise InvalidArgumentError(
            "the folder is not empty", key=here.store.url(key), hint="Give an empty folder"
        )
    return key


def _copy(here: Here, found: Found, folder: str) -> None:
    pairs = [(f"{found.home}/{record.object}", f"{folder}/{record.path}") for record in found.files]
    try:
        copy_all(here.store, pairs)
        listed = by_key(here.store.list(folder))
        copies = [type(record)(record.path, record.path, record.size, "") for record in found.files]
        bad = flaws(folder, copies, listed)
        if bad:
            raise DamagedError(f"the copy of {bad[0].path!r} is damaged, {bad[0].problem}", key=bad[0].key)
    except CkptptrError:
        here.store.delete(
            copied for _, copied in pairs
        )  # a plain folder with half of the files looks complete
        raise
