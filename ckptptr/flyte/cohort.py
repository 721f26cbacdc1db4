"""The ranks of a distributed task restore the same checkpoint, and know that they belong together.

Ranks restore at different moments, and one may have saved meanwhile. So the first that has resolved
says what it took, and all others of its *round* restore exactly that. A round is what torch's elastic
agents start together; a restart inside the attempt begins the next one, which resolves anew and so
resumes from the newest.

There is no collective call in this: rank 0 alone may restore. It goes through the TCPStore that the
elastic agent keeps for its workers (`TORCHELASTIC_USE_AGENT_STORE=True`: torch 2.5 or later, with c10d
rendezvous, as kfpytorch's Elastic has it). That store lives as long as the launcher, over all restarts.
Where there is none, the default process group's will do, if the task has one: it lives for one round.

No variable tells the round: `TORCHELASTIC_RESTART_COUNT` is counted by each node for itself, and a
change of members counts for none (pytorch#108158). So a round is over as soon as a rank comes that was
there before, or one whose node has counted another restart since. On one node that is exact; on
several it misses a rank that had not come at all before the round ended and is the first of the next.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.errors import ConflictError, NotFoundError, StoreUnavailableError
from ckptptr.protocol.candidates import Found
from ckptptr.protocol.references import FRESH
from ckptptr.settings import ROUND

log = logging.getLogger("ckptptr")

_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where torch, Open MPI and MPICH tell a process how many ranks there are."""

PATIENCE = timedelta(seconds=20)


def incarnation(environ: MutableMapping[str, str]) -> str | None:
    """The token of this round of ranks; "" where they have no way to agree on one; None where this
    process is no rank of several."""
    return Cohort.of(environ).token


@dataclass(frozen=True, slots=True)
class Cohort:
    """The ranks of one round; of a process that is no rank, itself alone.

    `token` is as `incarnation` returns it. To be asked by one thread at a time.
    """

    token: str | None = None
    _store: Callable[[], Any] | None = None

    _KEY: ClassVar[str] = "ckptptr/{}/restored"

    @staticmethod
    def of(environ: MutableMapping[str, str] = os.environ) -> Cohort:
        """This process's, joined when first asked for."""
        if all(environ.get(name, "1") == "1" for name in _SIZES):
            return Cohort()
        agent = _Agent.of(environ)
        if agent is None:
            return Cohort("", _store_of_group())
        place, _, token = ROUND.read(environ).partition(" ")
        if place != agent.place:
            token = agent.join()
            environ[ROUND.name] = f"{agent.place} {token}"
        return Cohort(token, agent.store if token else _store_of_group())

    def decided(self) -> str | None:
        """The checkpoint that this round restores, or `none`; None before any rank has resolved."""
        if self._store is None:
            return None
        store, key = self._store(), self._KEY.format(self.token)
        return store.get(key).decode() if store.check([key]) else None

    def decide(self, mine: str) -> str:
        """What this round restores: ours, where no other rank was faster."""
        if self._store is None:
            return mine
        settled: str = self._store().compare_set(self._KEY.format(self.token), "", mine).decode()
        return settled

    def exists(self, checkpoints: Checkpoints) -> bool:
        """Whether there is something to restore. If not, that is the round's decision."""
        decided = self.decided()
        if decided is None:
            if checkpoints.look().found is not None:
                return True
            decided = self.decide(FRESH)
        return decided != FRESH

    def restore(self, checkpoints: Checkpoints, path: str | os.PathLike[str] | None) -> Path | None:
        """What the round has decided, as `Checkpoints.restore`; where nothing is yet, this decides it."""
        if self.token is not None and self._store is None:
            log.warning(
                "the ranks of this task cannot agree, so that each finds a checkpoint by itself: restore "
                "after init_process_group; or on one rank, and give its resolution.found.reference to "
                "restore(checkpoint=...) on the others"
            )
        decided, found = self.decided(), None
        if decided is None:
            folder = checkpoints.restore(path)
            found = checkpoints.resolution.found if checkpoints.resolution else None
            mine = found.reference if found else FRESH
            decided = self.decide(mine)
            if decided == mine:
                return folder
            log.info("another rank was faster, and restores %s", decided)
            if folder is not None and found is not None:
                _take_away(folder, found)
        else:
            log.info("the ranks restore %s", decided)
        if decided == FRESH:
            return None
        try:
            return checkpoints.restore(path, checkpoint=decided)
        except NotFoundError as error:
            raise ConflictError(
                "the checkpoint that the other ranks have restored is gone",
                key=error.key or decided,
                hint="Restore on all ranks before one of them goes on saving",
            ) from error


@dataclass(frozen=True, slots=True)
class _Agent:
    """The store that the elastic agent keeps for its workers, and what a worker is to it."""

    host: str
    port: int
    run: str
    node: str
    rank: str
    restarts: str

    @staticmethod
    def of(environ: Mapping[str, str]) -> _Agent | None:
        """None where the agent keeps none."""
        if environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
            return None
        return _Agent(
            environ["MASTER_ADDR"],
            int(environ["MASTER_PORT"]),
            environ["TORCHELASTIC_RUN_ID"],
            environ["GROUP_RANK"],
            environ["RANK"],
            environ["TORCHELASTIC_RESTART_COUNT"],
        )

    @property
    def place(self) -> str:
        """Without blanks, and no other worker's."""
        return "/".join((f"{self.host}:{self.port}", self.run, self.node, self.rank, self.restarts))

    def join(self) -> str:
        """The token of the round that is on; "" where the store cannot be reached."""
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
        """A connection, for now: none is kept that a fork would share."""
        try:
            from torch.distributed import TCPStore

            # By ourselves first: torch takes twice its timeout for a no, and prints pages.
            socket.create_connection((self.host, self.port), PATIENCE.total_seconds()).close()
            return TCPStore(self.host, self.port, is_master=False, wait_for_workers=False, timeout=PATIENCE)
        except (ImportError, OSError, RuntimeError) as error:
            raise StoreUnavailableError(
                f"the elastic agent's store cannot be reached ({type(error).__name__}: {error})",
                key=f"tcp://{self.host}:{self.port}",
            ) from error


def _store_of_group() -> Callable[[], Any] | None:
    """That of the default process group, where the task has made one."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    store: Callable[[], Any] = distributed.distributed_c10d._get_default_store
    return store


def _take_away(folder: Path, found: Found) -> None:
    """The files of a checkpoint that is not the one to restore. What was there beside them stays."""
    for record in found.files:
        (folder / record.path).unlink(missing_ok=True)
