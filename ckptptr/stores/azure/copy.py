"""Copying inside an Azure account: Azure copies in its own time, and we wait for the end.

While a copy is under way its target is visible already, empty or in part. So whatever ends the wait early
also ends the copy, and removes the target.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ckptptr.clock import Clock, backoff
from ckptptr.errors import CkptptrError, InvalidArgumentError, NotFoundError, StoreUnavailableError
from ckptptr.stores.azure.client import AzureClient, url
from ckptptr.stores.azure.words import SourceUnverifiedError

_log = logging.getLogger("ckptptr.stores")


def copy(
    client: AzureClient, source: str, key: str, metadata: Mapping[str, str], *, patience: float, clock: Clock
) -> None:
    """Copy and wait for the end of it. Gives up when `patience` seconds bring no progress."""
    try:
        begun = client.call(
            "start_copy_from_url", key, source_url=client.source_url(source), metadata=dict(metadata)
        )
    except (SourceUnverifiedError, NotFoundError, InvalidArgumentError):
        # Is the source missing, its container, or the permission to read it? Asked itself, it says which.
        client.call("get_blob_properties", source)
        raise
    if begun["copy_status"] != "success":
        with _abandoned_on_error(client, key, begun["copy_id"]):
            _wait(client, key, begun["copy_id"], patience, clock)


def _wait(client: AzureClient, key: str, copy_id: str, patience: float, clock: Clock) -> None:
    progress, since = "", time.monotonic()
    looked = 0
    while True:
        looked += 1
        backoff(clock, looked)
        state = _look(client, key, copy_id)
        if state.status == "success":
            return
        if state.status != "pending":
            raise StoreUnavailableError(f"Azure gave up the copy ({state.status})", key=url(key))
        if state.progress != progress:
            progress, since = state.progress, time.monotonic()
        elif time.monotonic() - since > patience:
            raise StoreUnavailableError(
                f"the copy made no progress for {patience:.0f} s (at {progress or 0} bytes)", key=url(key)
            )


def _look(client: AzureClient, key: str, copy_id: str) -> Any:
    """How far the copy is.

    Raises:
        StoreUnavailableError: it is not ours any more. Not `NotFoundError`, which speaks of the source.
    """
    try:
        state = client.call("get_blob_properties", key).copy
    except NotFoundError as error:
        raise StoreUnavailableError("the copy was deleted while it was made", key=url(key)) from error
    if state.id != copy_id:
        raise _OvertakenError("another write to the copy was faster", key=url(key))
    return state


class _OvertakenError(StoreUnavailableError):
    """Another process wrote what is there now, and it stays."""


@contextmanager
def _abandoned_on_error(client: AzureClient, key: str, copy_id: str) -> Iterator[None]:
    try:
        yield
    except _OvertakenError:
        raise
    except BaseException:  # an interrupt, too
        with suppress(CkptptrError):  # one that has ended already cannot be aborted
            client.call("abort_copy", key, copy_id=copy_id)
        try:
            client.call("delete_blob", key)
        except CkptptrError as error:  # the caller wants to hear why it was abandoned
            _log.warning("half a copy stays behind: %s", error)
        raise
