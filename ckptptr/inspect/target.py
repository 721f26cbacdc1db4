"""Which node a person means by TARGET, and whether it exists.

A typo must not look like "no checkpoints". If nothing is found, the error lists every place that was
looked at. If TARGET is above several nodes, it lists them.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timezone
from typing import Any

import msgspec

from ckptptr.clock import Clock, SystemClock, isoformat
from ckptptr.errors import DamagedError, InvalidArgumentError, NotFoundError
from ckptptr.inspect.lookup import home_alone, home_in, near, nodes_below, nodes_of_execution, nodes_with_home
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import EMPTY_IN_A_ROW, highest_attempt, node_at, root_at
from ckptptr.protocol.candidates import Candidates
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.inventory import committed
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.names import LATEST, NODES
from ckptptr.protocol.node import Node
from ckptptr.stores.open import filesystem_at, open_store
from ckptptr.stores.port import GLANCE, Store
from ckptptr.stores.wrappers.probe import with_known_guarantee
from ckptptr.stores.wrappers.retry import Retrying
from ckptptr.wording import first_few

_SHAPE = f"<root>/{NODES}/<project>/<domain>/<execution>/<node>"

_TRIES = 3
"""Fewer than in a task: a person waits, and the SDK of the store retries too."""


class SeveralNodesError(InvalidArgumentError):
    """TARGET is above more than one node.

    Attributes:
        sizes: their keys, with the size of LATEST.
    """

    def __init__(self, store: Store, key: str, sizes: Mapping[str, int]) -> None:
        prefixes = [*sizes]
        count = "1 node is" if len(prefixes) == 1 else f"{len(prefixes)} nodes are"
        super().__init__(
            f"{count} below this; TARGET must be one node", key=key, hint="Give one of them as TARGET"
        )
        self.sizes = sizes
        self.details = {"nodes": first_few([store.url(prefix) for prefix in prefixes])}


class NothingThereError(NotFoundError):
    """Neither a LATEST nor a checkpoint: TARGET is probably wrong.

    Attributes:
        meant: the keys of the nodes whose names begin as given.
    """

    def __init__(
        self,
        key: str,
        looked_at: list[str],
        hint: str,
        nodes: Sequence[str] = (),
        meant: Sequence[str] = (),
    ) -> None:
        super().__init__("there is no LATEST and no checkpoint", key=key, hint=hint)
        self.details = {"looked_at": looked_at, **({"nodes": first_few(nodes)} if nodes else {})}
        self.meant = meant


@dataclass(frozen=True, slots=True)
class Here:
    """The node of a command, seen from outside its attempts.

    `arguments`: the options that another command needs to reach the same node. `adapter`: the store
    without wrappers, for what is not in the port. `options`: the filesystem's, as given.
    `is_guessed`: TARGET was only the beginning of its name. `is_alone`: a home that was copied without its
    node; it has no LATEST.
    """

    store: Store
    node: Node
    clock: Clock
    latest: Latest
    arguments: tuple[str, ...]
    adapter: Store
    options: Mapping[str, Any] = field(default_factory=dict)
    is_guessed: bool = False
    is_alone: bool = False

    @property
    def url(self) -> str:
        """The node prefix."""
        return self.store.url(self.node.prefix)

    @property
    def is_flyte(self) -> bool:
        return NodePrefix.parse(self.node.prefix) is not None

    @property
    def candidates(self) -> Candidates:
        return Candidates(self.store, self.node, self.clock)

    @property
    def chooser(self) -> Chooser:
        return Chooser(self.store, self.node, self.latest, self.clock)

    @property
    def changed_at(self) -> str | None:
        """When LATEST was written last, by the clock of the store; None if the store does not say."""
        try:
            filesystem, path = filesystem_at(self.latest.url, self.options)
            return isoformat(filesystem.modified(path).astimezone(timezone.utc))
        except Exception:  # noqa: BLE001 - each filesystem raises its own, and people can do without
            return None

    def command(self, name: str, *words: str) -> str:
        """A command line for this node, to paste into a shell."""
        return shlex.join(["ckptptr", name, self.url, *words, *self.arguments])

    def for_writing(self) -> Here:
        """The same, after a probe of a custom endpoint: does it support conditional writes?

        Raises:
            InvalidArgumentError: this is a home alone, and nothing would read a LATEST there.
        """
        if self.is_alone:
            raise InvalidArgumentError(
                "this is a home alone: it belongs to no node here, and has no LATEST to move",
                key=self.url,
                hint="A run begins from it with CKPTPTR_SEED",
            )
        store = with_known_guarantee(self.store, self.node.prefix, self.clock)
        latest = Latest(store, self.node.prefix, self.clock, author(self.clock))
        return replace(self, store=store, latest=latest)


def patient_store(url: str, storage_options: Mapping[str, Any], clock: Clock) -> tuple[Store, str]:
    """The store and the key of a URL that is not a node."""
    store, key = open_store(url, storage_options=storage_options)
    return Retrying(store, clock, tries=_TRIES), key


def last_attempt(store: Store, prefix: str) -> int:
    """The last attempt that left anything; one before the first if none did."""
    node = node_at(store, prefix, attempt=None, read_only=True)
    return highest_attempt(store, node.homes_of, node.attempt - 1)


def locate(
    url: str, *, storage_options: Mapping[str, Any], attempt: int | None = None, root: str | None = None
) -> Here:
    """The node that `url` means.

    Args:
        root: the raw-output base; `url` is then the name of an execution below it.

    Raises:
        SeveralNodesError: it is above more than one node.
        NothingThereError: nothing is there.
        InvalidArgumentError, StoreUnavailableError, UnsupportedFormatError: as the store and LATEST say.
    """
    clock = SystemClock()
    raw, key = open_store(root or url, storage_options=storage_options)
    store: Store = Retrying(raw, clock, tries=_TRIES)

    def here_at(prefix: str, *, is_guessed: bool = False) -> Here:
        nonlocal raw, store
        if prefix != key and "://" not in raw.url(prefix):  # on a disk links must stay below its root
            raw, _ = open_store(prefix)
            store = Retrying(raw, clock, tries=_TRIES)
        number = last_attempt(store, prefix) + 1 if attempt is None else attempt
        node = node_at(store, prefix, attempt=number, read_only=True)
        latest = Latest(store, prefix, clock, author(clock))
        arguments = _arguments(attempt, storage_options)
        here = Here(store, node, clock, latest, arguments, raw, storage_options, is_guessed)
        if number == 0 or attempt is not None:
            _refuse_nothing(here)
        return here

    try:
        return here_at(_prefix_of_execution(store, key, url) if root else _prefix_at(store, key))
    except NothingThereError as error:
        if len(error.meant) == 1:
            return here_at(error.meant[0], is_guessed=True)
        if error.meant and len({prefix.rpartition("/")[0] for prefix in error.meant}) == 1:
            above = error.meant[0].rpartition("/")[0]
            raise SeveralNodesError(store, store.url(above), nodes_below(store, above)) from None
        home = None if root else home_alone(store, key)
        if home is None:
            raise
    node = _node_of_home(store, home)
    latest = Latest(store, home, clock, author(clock))
    return Here(
        store, node, clock, latest, _arguments(attempt, storage_options), raw, storage_options, is_alone=True
    )


def _node_of_home(store: Store, home: str) -> Node:
    """A node with just this home: a home stands alone."""
    attempt = max(checkpoint.attempt for checkpoint in committed(store, home).ids) + 1
    return Node(root_at(store, home.rpartition("/")[0]), home, attempt, home, lambda _: (home,))


def _prefix_at(store: Store, key: str) -> str:
    """The node prefix that `key` is, is above, or can only be."""
    key = key.removesuffix(f"/{LATEST}")
    home = home_in(key)
    if home is not None:
        return _prefix_of_home(store, home)
    root, marker, inside = f"{key}/".rpartition(f"/{NODES}/")
    if not marker:
        return _plain_prefix(store, key)
    names = [name for name in inside.split("/") if name]
    if len(names) == 4:
        return key
    if len(names) > 4:
        node = "/".join((root, NODES, *names[:4]))
        raise InvalidArgumentError(
            "this is inside a node prefix", key=store.url(key), hint=f"Give {store.url(node)}"
        )
    nodes = nodes_below(store, key)
    if not nodes:
        around = nodes_below(store, key.rpartition("/")[0]) if names else []
        begun = nodes_of_execution(around, "/".join(names), is_begun=True) if len(names) == 3 else []
        raise NothingThereError(
            store.url(key),
            [f"{store.url(key)}/**/{LATEST}"],
            f"Check the bucket and every name. A node is {_SHAPE}. If LATEST was deleted, give the full node"
            " path",
            [store.url(node) for node in (begun or near(around, names[-1] if names else ""))],
            begun,
        )
    if len(names) == 3 and len(nodes) == 1:
        return next(iter(nodes))
    raise SeveralNodesError(store, store.url(key), nodes)


def _prefix_of_home(store: Store, home: str) -> str:
    """The node of a home, which is what Flyte gave a pod as `--checkpoint-path`."""
    nodes = nodes_with_home(store, home)
    if not nodes:
        raise NothingThereError(
            store.url(home),
            [f"{store.url(home)}/manifests/", f"<root>/{NODES}/**/{LATEST}"],
            "This is the home of one attempt, but neither a checkpoint in it nor any LATEST names its node."
            f" Give the node: {_SHAPE}",
        )
    if len(nodes) == 1:
        return nodes[0]
    raise SeveralNodesError(store, store.url(home), dict.fromkeys(nodes, 0))


def _prefix_of_execution(store: Store, root: str, name: str) -> str:
    """The one node of the execution of that name, or the node in the name."""
    there = nodes_below(store, f"{root}/{NODES}")
    nodes = nodes_of_execution(there, name)
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        raise SeveralNodesError(
            store, f"{store.url(root)}/{NODES}", {prefix: there[prefix] for prefix in nodes}
        )
    begun = nodes_of_execution(there, name, is_begun=True)
    everywhere = f"{store.url(root)}/{NODES}/**/{LATEST}"
    raise NothingThereError(
        name,
        [everywhere],
        "No execution of that name has a LATEST below this root. Check both; --root is the path before"
        f" /{NODES}/. If LATEST was deleted, give the full node path",
        [store.url(node) for node in (begun or near(there, name))],
        begun,
    )


def _plain_prefix(store: Store, key: str) -> str:
    """The prefix of a run outside Flyte. Only its content proves that it is one."""
    trace = (f"{key}/{name}" for name in ("attempts", "claims"))
    if _exists(store, f"{key}/{LATEST}") or any(_holds_something(store, folder) for folder in trace):
        return key
    nodes = nodes_below(store, f"{key}/{NODES}")
    if nodes:
        raise SeveralNodesError(store, store.url(key), nodes)
    hint = (
        f"Check the bucket and the spelling. Nodes of Flyte are at {_SHAPE}; the name of an execution needs"
        " --root"
    )
    url = store.url(key).rstrip("/")
    raise NothingThereError(
        url, [f"{url}/{name}" for name in (LATEST, "attempts/", "claims/", f"{NODES}/")], hint
    )


def _refuse_nothing(here: Here) -> None:
    """A node of Flyte may not exist yet; a name with a typo looks the same."""
    store, node = here.store, here.node
    if not here.is_flyte or here.latest.read().token is not None:
        return
    first = (home for attempt in range(EMPTY_IN_A_ROW) for home in node.homes_of(attempt))
    homes = list(dict.fromkeys((*node.own_homes(store), *first)))
    if any(_holds_something(store, home) for home in homes):
        return
    execution, _, name = node.prefix.rpartition("/")
    nodes = nodes_below(store, execution)
    raise NothingThereError(
        here.url,
        [here.latest.url, *first_few([f"{store.url(home)}/" for home in homes])],
        "Check the bucket, the root and every name. In recover mode Flyte also names another execution, which"
        " cannot be seen from here",
        [store.url(node) for node in nodes],
        [node for node in nodes if node.rpartition("/")[2].startswith(name)],
    )


def _exists(store: Store, key: str) -> bool:
    try:
        store.read(key, GLANCE)
    except NotFoundError:
        return False
    except DamagedError:  # a link that leads out
        return True
    return True


def _holds_something(store: Store, folder: str) -> bool:
    return any(True for _ in store.list(folder))


def author(clock: Clock) -> str:
    """Who writes, for people, as LATEST records it."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}/{os.getpid()}/{clock.token(6)}"


_SECRET = ("secret", "token", "password", "sas", "connection_string")


def _arguments(attempt: int | None, storage_options: Mapping[str, Any]) -> tuple[str, ...]:
    found = [] if attempt is None else ["--attempt", str(attempt)]
    for name, value in storage_options.items():
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        hidden = any(word in f"{name}{text}".lower() for word in _SECRET)
        found += ["--storage-option", f"{name}={'...' if hidden else text}"]
    return tuple(found)
