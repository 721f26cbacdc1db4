"""From what Flyte 2 tells a task to the checkpoints of its node.

Everything comes from the task's context: a reusable container runs many tasks, which share its environment.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import ClassVar

from flyte.models import TaskContext
from flyte.storage import get_configured_fsspec_kwargs

from ckptptr.checkpoints import Checkpoints
from ckptptr.clock import SystemClock
from ckptptr.dropin.local_run import open_locally
from ckptptr.errors import UnidentifiedError
from ckptptr.flyte2.stock_home import make_room
from ckptptr.nodes.flyte_actions import Action
from ckptptr.nodes.flyte_identity import FlyteIdentity, given
from ckptptr.nodes.flyte_node import node_of
from ckptptr.protocol.retention import retention_of
from ckptptr.session.cohort import Cohort, incarnation
from ckptptr.session.session import Session
from ckptptr.settings import SEED, check_all
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.urls import split
from ckptptr.stores.wrappers.probe import with_known_guarantee

log = logging.getLogger("ckptptr")


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one attempt of an action. Only texts: the SDK pickles its context, with this in it.

    Attributes:
        alone: the incarnation of this attempt, unless its process is one of several ranks.
        seed: where to begin, in place of `CKPTPTR_SEED`.
    """

    identity: FlyteIdentity
    alone: str
    seed: str = ""

    @staticmethod
    def of(context: TaskContext, *, task: str = "", seed: str = "") -> Place:
        """The place that the context of a task tells.

        Raises:
            UnidentifiedError: it is unknown which action of a run this is.
            SettingError: an environment variable has a value that cannot be understood.
            InvalidArgumentError: its checkpoints are in a place that this version cannot open.
        """
        identity = _identify(context, task)
        check_all(os.environ)
        place = Place(identity, SystemClock().token(12), seed)
        place.store()  # now, not when first needed: the stock SDK may still open what we cannot
        if not identity.verified:
            log.warning(
                "ckptptr does not know this layout of Flyte's paths; it reads only LATEST, the own home and "
                "--prev-checkpoint: %s",
                identity.why_not,
            )
        return place

    @property
    def home(self) -> str:
        return self.identity.home

    @property
    def previous(self) -> str | None:
        return self.identity.previous

    def store(self) -> Store:
        """The store of the homes, with Flyte's own configuration and credentials. Sends no request."""
        home = self.identity.home
        scheme = split(home).scheme
        # `abfss` for it means what `abfs` does.
        settings = get_configured_fsspec_kwargs(scheme) if scheme in ("s3", "gs", "abfs") else None
        return open_store(home, root=self.identity.root, settings=settings)[0]

    def open(self) -> Checkpoints:
        """The checkpoints, in any process.

        Raises:
            StoreUnavailableError: a custom endpoint did not answer whether it supports conditional writes.
        """
        scheme, home, _ = split(self.identity.home)
        if scheme == "file":
            make_room(home)
        store = self.store()
        environ = {**os.environ, SEED.name: self.seed} if self.seed else os.environ
        node = node_of(self.identity, store, environ)
        ranks = incarnation(os.environ)
        session = Session(
            with_known_guarantee(store, node.prefix, SystemClock()),
            node,
            retention=retention_of(os.environ),
            incarnation=self.alone if ranks is None else ranks,
        )
        return Checkpoints(session, ranks=Cohort.of)


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """Where a local run keeps the checkpoints of one action. The stock SDK lets all actions share one file.

    Each start of the action is another attempt, the retries of a local run too.
    """

    folder: str
    seed: str = ""
    previous: ClassVar[str | None] = None

    @staticmethod
    def of(context: TaskContext, seed: str) -> LocalPlace:
        running = context.task_action or context.action
        return LocalPlace(f"{context.raw_data_path.path.rstrip('/')}/ckptptr/{running.name}", seed)

    @property
    def home(self) -> str:
        return self.folder

    def open(self) -> Checkpoints:
        """Raises: as `ckptptr.open`."""
        return open_locally(self.folder, attempt=None, seed=self.seed)


def _identify(context: TaskContext, task: str) -> FlyteIdentity:
    # In `@flyte.trace` `action` is a pseudo-action; this one stays.
    running, paths = context.task_action or context.action, context.checkpoint_paths
    home = given(paths.checkpoint_path) if paths else None
    action = Action.read(
        home, run=running.run_name or "", name=running.name, base=given(context.run_base_dir) or ""
    )
    if action is None:
        raise UnidentifiedError(
            f"action {running.name} of run {running.run_name} has a checkpoint path of an unknown layout",
            key=home or "",
        )
    return action.identity(
        project=running.project or "",
        domain=running.domain or "",
        previous=given(paths.prev_checkpoint_path) if paths else None,
        task=task,
        version=context.version or "",
    )
