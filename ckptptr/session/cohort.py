"""The ranks of a distributed task restore the same checkpoint, and know that they belong together.

Ranks restore at different moments, and one may have saved meanwhile. So the first rank that has resolved
says which checkpoint it restored, and all others of its *round* restore exactly that. A round is what torch's
elastic agents start together. A restart inside the attempt begins the next round, which resolves again and so
resumes from the newest checkpoint.

This is no collective call: rank 0 may restore alone. It uses the TCPStore that the elastic agent keeps for
its workers (`TORCHELASTIC_USE_AGENT_STORE=True`: torch 2.5 or later with c10d or static rendezvous, as in
kfpytorch's Elastic and Flyte 2's clustered tasks). That store lives as long as the launcher, over all
restarts. Without it, the store of the default process group is used, if the task has one, or that of
`jax.distributed`: they live for one round, and so are one.

What a JobSet tells its pods is no token: Flyte 2 may start a new JobSet for the same attempt, with the same
name, and its count of restarts begins anew.

No variable names the round: each node counts `TORCHELASTIC_RESTART_COUNT` for itself, and a change of members
does not count (pytorch#108158). So a round ends when a rank joins that has joined before, or whose node has
counted another restart since. On one node that is exact. On several nodes it fails for a rank that did not
join the round before it ended and is the first of the next.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import xxhash

from ckptptr.clock import SystemClock
from ckptptr.errors import ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.names import utf8
from ckptptr.protocol.references import FRESH
from ckptptr.protocol.resolve import Resolution
from ckptptr.session.jax_store import store_of_jax
from ckptptr.settings import ROUND

log = logging.getLogger("ckptptr")

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where torch, Open MPI and MPICH tell a process how many ranks there are."""
_OF_WORKER = ("MASTER_ADDR", "TORCHELASTIC_RUN_ID", "GROUP_RANK", "RANK", "TORCHELASTIC_RESTART_COUNT")

PATIENCE = timedelta(seconds=20)


def incarnation(environ: MutableMapping[str, str]) -> str | None:
    """The token of this round of ranks; "" if they cannot agree on one; None if this process is not one of
    several ranks."""
    return Cohort.of(environ).token


@dataclass(frozen=True, slots=True)
class Cohort:
    """The ranks of one round; for a process that is no rank, itself alone.

    `token` is what `incarnation` returns. `name` tells apart what the round decides about: a node, where it
    has several. One thread at a time may use it.
    """

    token: str | None = None
    _store: Callable[[], Any] | None = None
    name: str = ""

    @staticmethod
    def of(environ: MutableMapping[str, str] = os.environ, name: str = "") -> Cohort:
        """That of this process, which joins it with the first call."""
        if all(environ.get(name, "1") == "1" for name in _SIZES):
            return Cohort()
        agent = _Agent.of(environ)
        if agent is None:
            ours = _store_of_round()
            token = (
                "" if ours is None else ours().compare_set("ckptptr", "", SystemClock().token(12)).decode()
            )
            return Cohort(token, ours, name)
        place, _, token = ROUND.read(environ).partition(" ")
        if place != agent.place:
            token = agent.join()
            environ[ROUND.name] = f"{agent.place} {token}"
        return Cohort(token, agent.store if token else _store_of_round(), name)

    @staticmethod
    def at(url: str, environ: MutableMapping[str, str] = os.environ) -> Cohort:
        """That of this process, for what it opens at `url` now. The n-th openings of all ranks are one."""
        cohort = Cohort.of(environ, xxhash.xxh3_64_hexdigest(utf8(url)))
        if cohort._store is None:
            return cohort
        opened = cohort._store().add(cohort._key(f"rank/{environ.get('RANK')}/opened"), 1)
        return replace(cohort, name=f"{cohort.name}/{opened}")

    def decided(self) -> str | None:
        """The checkpoint that this round restores, or `none`; None before any rank has resolved."""
        if self._store is None:
            return None
        store, key = self._store(), self._key("restored")
        return store.get(key).decode() if store.check([key]) else None

    def decide(self, mine: str) -> str:
        """What this round restores: `mine`, if no other rank was faster."""
        if self._store is None:
            return mine
        decided: str = self._store().compare_set(self._key("restored"), "", mine).decode()
        return decided

    def attempt(self, claim: Callable[[], int]) -> int:
        """The number of the attempt that this round is: the first rank that asks claims it for all.

        Raises:
            StoreUnavailableError: that rank has not told the others.
        """
        if self._store is None or not self.token:
            return claim()
        store, key = self._store(), self._key("attempt")
        if store.add(f"{key}/asked", 1) == 1:
            number = claim()
            store.set(key, str(number))
            return number
        try:
            return int(store.get(key))
        except RuntimeError as error:
            raise StoreUnavailableError(
                f"no other rank has said the number of this attempt within {PATIENCE.seconds} s",
                key=self.name,
                hint="See what the other ranks say",
            ) from error

    def exists(self, look: Callable[[], Resolution]) -> bool:
        """Whether there is something to restore. If not, the round decides for a fresh start."""
        decided = self.decided()
        if decided is None:
            if look().found is not None:
                return True
            decided = self.decide(FRESH)
        return decided != FRESH

    def restore(
        self,
        restore: Callable[[str | None], Path | None],
        resolution: Callable[[], Resolution | None],
    ) -> Path | None:
        """What the round has decided to restore, by `restore`; if it has not, this call decides.

        Args:
            restore: restores the checkpoint with that name; the newest good one where it is None.
            resolution: of the last restore.
        """
        if self.token is not None and self._store is None:
            log.warning(
                "the ranks of this task cannot agree, so each finds a checkpoint by itself. Restore after "
                "init_process_group or jax.distributed.initialize; or restore on one rank, and pass its "
                "resolution.found.reference to restore(checkpoint=...) on the others"
            )
        decided = self.decided()
        if decided is None:
            folder, found = restore(None), None
            if resolved := resolution():
                found = resolved.found
            mine = found.reference if found else FRESH
            decided = self.decide(mine)
            if decided == mine:
                return folder
            log.info("another rank was faster and restores %s", decided)
            if folder is not None and found is not None:
                _remove(folder, found)
        else:
            log.info("the ranks restore %s", decided)
        if decided == FRESH:
            return None
        try:
            return restore(decided)
        except NotFoundError as error:
            raise ConflictError(
                "the checkpoint that the other ranks restored was deleted",
                key=error.key or decided,
                hint="Restore on all ranks before one of them saves",
            ) from error

    def _key(self, what: str) -> str:
        return "/".join(filter(None, ("ckptptr", self.token, self.name, what)))


@dataclass(frozen=True, slots=True)
class _Agent:
    """The store that the elastic agent keeps for its workers, and this worker's place in it."""

    host: str
    port: int
    run: str
    node: str
    rank: str
    restarts: str

    @staticmethod
    def of(environ: Mapping[str, str]) -> _Agent | None:
        """None if the agent keeps none, or this process was not told all that a worker is told."""
        host, *told = (environ.get(name, "") for name in _OF_WORKER)
        port = environ.get("MASTER_PORT", "")
        is_port = port.isdecimal() and len(port) < 6
        if environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True" or not (is_port and host and all(told)):
            return None
        return _Agent(host, int(port), *told)

    @property
    def place(self) -> str:
        """A name without blanks that no other worker has."""
        return "/".join((f"{self.host}:{self.port}", self.run, self.node, self.rank, self.restarts))

    def join(self) -> str:
        """The token of the current round; "" if the store cannot be reached."""
        try:
            store = self.store()
        except StoreUnavailableError as error:
            log.warning("%s", error)
            return ""
        current = f"ckptptr/{self.run}"
        token: str = store.compare_set(current, "", SystemClock().token(12)).decode()
        while self._is_over(store, token):
            token = store.compare_set(current, token, SystemClock().token(12)).decode()
        return token

    def _is_over(self, store: Any, token: str) -> bool:
        counted = store.compare_set(f"ckptptr/{token}/node/{self.node}", "", self.restarts).decode()
        came: int = store.add(f"ckptptr/{token}/rank/{self.rank}", 1)
        return counted != self.restarts or came > 1

    def store(self) -> Any:
        """A new connection: a kept one would be shared by forks."""
        try:
            from torch.distributed import TCPStore

            # A plain connection first: torch needs twice its timeout for a refusal, and prints pages.
            socket.create_connection((self.host, self.port), PATIENCE.total_seconds()).close()
            return TCPStore(self.host, self.port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
        except (ImportError, OSError, RuntimeError) as error:
            raise StoreUnavailableError(
                f"the elastic agent's store cannot be reached ({type(error).__name__}: {error})",
                key=f"tcp://{self.host}:{self.port}",
            ) from error


def _store_of_round() -> Callable[[], Any] | None:
    """The store of torch's default process group, or that of jax, if the task has made one."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return store_of_jax(PATIENCE)
    store: Callable[[], Any] = distributed.distributed_c10d._get_default_store
    return store


def _remove(folder: Path, found: Found) -> None:
    """Remove the files of a checkpoint that the round did not choose. Other files in the folder are kept."""
    for record in found.files:
        (folder / record.path).unlink(missing_ok=True)
