"""What one process knows of its node: the store, LATEST as last seen, the current content."""

from __future__ import annotations

import os
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import CkptptrError, InvalidArgumentError
from ckptptr.events import Name, Watch
from ckptptr.lifetime.background import Background
from ckptptr.lifetime.forks import renew_in_child
from ckptptr.protocol.candidates import Candidates
from ckptptr.protocol.fence import Fence
from ckptptr.protocol.latest import Latest, Seen
from ckptptr.protocol.names import ATTEMPTS, CLAIMS
from ckptptr.protocol.node import Node
from ckptptr.protocol.publish import Publisher
from ckptptr.protocol.retention import Retention
from ckptptr.session.content import Content
from ckptptr.settings import IGNORE, LINKS
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.retry import Retrying
from ckptptr.stores.wrappers.stoppable import Stoppable
from ckptptr.transfer.folder import Links, Selection

SEARCH_EVERY = 50


class Session:
    """Shared by saving and restoring.

    `lock` guards what changes: a save or restore holds it from its look at LATEST to its end. Only what is
    told to people is read without it, since it may be held by a save that hangs.

    Args:
        incarnation: what all processes of this incarnation of the attempt share: see `Fence`.
        search_every: after how many publishes it looks for orphans again; the first one looks too.

    Attributes:
        author: who we are, for people; made of host name, process id and a random number.
    """

    def __init__(
        self,
        store: Store,
        node: Node,
        *,
        retention: Retention | None = None,
        clock: Clock | None = None,
        background: Background | None = None,
        incarnation: str = "",
        search_every: int = SEARCH_EVERY,
    ) -> None:
        self.clock = clock or SystemClock()
        stoppable = Stoppable(store)
        self.stop = stoppable.stop
        self.store: Store = Retrying(stoppable, self.clock)
        self.node = node
        self.author = f"{socket.gethostname()}/{os.getpid()}/{self.clock.token(6)}"
        fence = Fence(node.attempt, incarnation)
        self.latest = Latest(self.store, node.prefix, self.clock, self.author, fence)
        self.publisher = Publisher(self.store, node, self.latest, self.clock, retention or Retention())
        self.candidates = Candidates(self.store, node, self.clock)
        self.background = background or Background()
        self.search_every = search_every
        self.renew()
        renew_in_child(self)
        self.content = Content()
        self.parent: str | None = None
        self.restored_in: float | None = None
        """How long the last restore took, in seconds."""
        self.saves = 0
        self.saved_in: deque[tuple[str, float]] = deque(maxlen=1000)
        """The last of these saves: the id, and how long it took in seconds."""
        self.has_saved = threading.Event()
        """Set when the run begins its first own save, which cancels an unfinished forward copy."""
        self._selection = Selection(IGNORE.read(), cast(Links, LINKS.read()), self._own_places())

    def renew(self) -> None:
        """In a fork: what a thread of the parent holds or changes is begun anew."""
        self.lock = threading.RLock()
        self.seen: Seen | None = None

    def watch(self, name: Name) -> Watch:
        """Around what takes time: its outcome is the event of that name, of this node and attempt."""
        return Watch(name, self.store.url(self.node.prefix), self.node.attempt)

    @property
    def retention(self) -> Retention:
        return self.publisher.retention

    def retain(self, retention: Retention) -> None:
        """Replace the retention, before the first save.

        Raises:
            InvalidArgumentError: this process has saved under another one.
        """
        with self.lock:
            if retention != self.retention and self.has_saved.is_set():
                raise InvalidArgumentError(
                    f"this task has saved under {self.retention}",
                    key=self.latest.url,
                    hint="Give the retention before the first save, or set CKPTPTR_KEEP_LAST and the like",
                )
            self.publisher = replace(self.publisher, retention=retention)

    def forget(self) -> None:
        """LATEST was moved without this session: the next save reads it."""
        with self.lock:
            self.seen = None

    @contextmanager
    def forgetting_on_failure(self) -> Iterator[None]:
        """After a failure LATEST may be anything: the next save reads it before it uploads."""
        try:
            yield
        except CkptptrError:
            self.seen = None
            raise

    def look(self, *, again: bool = False) -> Seen:
        """LATEST as last seen; read `again` where that is nothing, or a hold that may be over.

        Raises:
            SupersededError: a newer attempt has taken over.
        """
        if again or self.seen is None or self.seen.is_held or self.seen.damage:
            self.seen = self.latest.read()
        hint = "This process must stop; nothing was uploaded"
        self.latest.check_fence(self.seen.fence, self.seen.pointer, hint=hint)
        return self.seen

    def selection(self, ignore: str | Iterable[str] | None, links: Links | None) -> Selection:
        """Which files of a folder are saved: as the settings say, but for what is given.

        Raises:
            InvalidArgumentError: see `Selection`.
        """
        given = self._selection
        if ignore is not None:
            given = replace(given, ignore=(ignore,) if isinstance(ignore, str) else tuple(ignore))
        return replace(given, links=links or given.links)

    @property
    def own_places(self) -> tuple[Path, ...]:
        """The files and folders of this node's store, by their real paths; none where it is not a disk."""
        return self._selection.without

    def _own_places(self) -> tuple[Path, ...]:
        # A folder that is saved may be around them, and must not be saved with them.
        prefix, home, root = self.node.prefix, self.node.home, self.node.root.base
        if "://" in self.store.url(prefix):
            return ()
        outside_flyte = (self.latest.key, f"{prefix}/{ATTEMPTS}", f"{prefix}/{CLAIMS}")
        places = outside_flyte if root == prefix else (root, prefix, home)
        return tuple(Path(os.path.realpath(place)) for place in places)
