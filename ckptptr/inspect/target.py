"""Which node a person means by TARGET, and whether there is one.

A typo must never look like "no checkpoints": where nothing at all is found, the error lists every
place that was looked at; where TARGET is above a node, it lists the nodes that are there.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ckptptr.clock import Clock, SystemClock
from ckptptr.errors import InvalidArgumentError, NotFoundError
from ckptptr.inspect.lookup import home_in, nodes_below, nodes_of_execution, nodes_with_home
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import FLYTE_PREFIXES, LOOK_AHEAD, highest_attempt, node_at
from ckptptr.protocol.candidates import Candidates
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.latest import Latest
from ckptptr.protocol.names import LATEST
from ckptptr.protocol.node import Node
from ckptptr.stores.open import open_store
from ckptptr.stores.port import Store
from ckptptr.stores.wrappers.probe import settle
from ckptptr.stores.wrappers.retry import Retrying
from ckptptr.wording import first_few

_SHAPE = f"<root>/{FLYTE_PREFIXES}/<project>/<domain>/<execution>/<node>"

_TRIES = 3
"""Fewer than a task has: somebody is waiting, and the SDK of a store tries again by itself as well."""


class SeveralNodesError(InvalidArgumentError):
    """TARGET is above more than one node."""

    def __init__(self, message: str, key: str, nodes: list[str]) -> None:
        super().__init__(message, key=key, hint="Give one of them as TARGET")
        self.details = {"nodes": nodes}


class NothingThereError(NotFoundError):
    """Neither a LATEST nor a checkpoint: most likely TARGET is not what was meant."""

    def __init__(self, key: str, looked_at: list[str], hint: str, nodes: list[str] | None = None) -> None:
        super().__init__("there is no trace of a checkpoint", key=key, hint=hint)
        self.details = {"looked_at": looked_at, **({"nodes": nodes} if nodes else {})}


@dataclass(frozen=True, slots=True)
class Here:
    """The node of a command, seen from outside its attempts.

    `arguments`: what another command needs on its line to get to the same place. `adapter`: the store
    as the adapter made it, for what is not in the port.
    """

    store: Store
    node: Node
    clock: Clock
    latest: Latest
    arguments: tuple[str, ...]
    adapter: Store

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

    def command(self, name: str, *words: str) -> str:
        """A command line on this node, to be pasted into a shell."""
        return shlex.join(["ckptptr", name, self.url, *words, *self.arguments])

    def for_writing(self) -> Here:
        """The same, once a custom endpoint has been asked what its conditional writes are worth."""
        store = settle(self.store, self.node.prefix, self.clock)
        latest = Latest(store, self.node.prefix, self.clock, _author(self.clock))
        return replace(self, store=store, latest=latest)


def patient_store(url: str, storage_options: Mapping[str, Any], clock: Clock) -> tuple[Store, str]:
    """The store and the key of a URL that is not a node."""
    store, key = open_store(url, storage_options=storage_options)
    return Retrying(store, clock, tries=_TRIES), key


def locate(
    url: str, *, storage_options: Mapping[str, Any], attempt: int | None = None, root: str | None = None
) -> Here:
    """The node that `url` means.

    Args:
        root: the raw-output base, where `url` is the name of an execution below it.

    Raises:
        SeveralNodesError: it is above more than one node.
        NothingThereError: nothing is there.
        InvalidArgumentError, StoreUnavailableError, UnsupportedFormatError: as the store and LATEST say.
    """
    clock = SystemClock()
    raw, key = open_store(root or url, storage_options=storage_options)
    store = Retrying(raw, clock, tries=_TRIES)
    prefix = _prefix_of_execution(store, key, url) if root else _prefix_at(store, key)
    given = attempt
    node = node_at(store, prefix, attempt=attempt, read_only=True)
    if attempt is None:
        attempt = highest_attempt(store, node.homes_of, node.attempt - 1) + 1
        node = node_at(store, prefix, attempt=attempt, read_only=True)
    latest = Latest(store, prefix, clock, _author(clock))
    here = Here(store, node, clock, latest, _arguments(given, storage_options), raw)
    if attempt == 0 or given is not None:
        _refuse_nothing(here)
    return here


def _prefix_at(store: Store, key: str) -> str:
    """The node prefix that `key` is, or is above, or has to be."""
    key = key.removesuffix(f"/{LATEST}")
    home = home_in(key)
    if home is not None:
        return _prefix_of_home(store, home)
    root, marker, inside = f"{key}/".rpartition(f"/{FLYTE_PREFIXES}/")
    if not marker:
        return _plain_prefix(store, key)
    names = [name for name in inside.split("/") if name]
    if len(names) == 4:
        return key
    if len(names) > 4:
        node = "/".join((root, FLYTE_PREFIXES, *names[:4]))
        raise InvalidArgumentError(
            "this is something inside a node prefix", key=store.url(key), hint=f"Give {store.url(node)}"
        )
    nodes = nodes_below(store, key)
    if not nodes:
        raise NothingThereError(
            store.url(key),
            [f"{store.url(key)}/**/{LATEST}"],
            f"Check the bucket and every name. A node is {_SHAPE}; written in full it is found even where"
            " its LATEST is gone",
        )
    if len(names) == 3 and len(nodes) == 1:
        return nodes[0]
    raise _several(store, key, nodes)


def _prefix_of_home(store: Store, home: str) -> str:
    """The node one of whose attempts has that home: what Flyte gave a pod as `--checkpoint-path`."""
    nodes = nodes_with_home(store, home)
    if not nodes:
        raise NothingThereError(
            store.url(home),
            [f"{store.url(home)}/manifests/", f"<root>/{FLYTE_PREFIXES}/**/{LATEST}"],
            "This is where one attempt of Flyte keeps its checkpoints, but neither a checkpoint in it nor"
            f" any LATEST tells the node. Give the node: {_SHAPE}",
        )
    if len(nodes) == 1:
        return nodes[0]
    raise _several(store, home, nodes)


def _prefix_of_execution(store: Store, root: str, name: str) -> str:
    """The one node of the execution of that name, or the one that is named with it."""
    nodes = nodes_of_execution(store, root, name)
    if len(nodes) == 1:
        return nodes[0]
    if nodes:
        raise _several(store, f"{root}/{FLYTE_PREFIXES}", nodes)
    everywhere = f"{store.url(root)}/{FLYTE_PREFIXES}/**/{LATEST}"
    raise NothingThereError(
        name,
        [everywhere],
        "No LATEST below this root is of an execution of that name. Check both; --root is what stands"
        f" before /{FLYTE_PREFIXES}/. A node whose LATEST is gone has to be written in full",
    )


def _plain_prefix(store: Store, key: str) -> str:
    """A prefix that `ckptptr.open` was given. Nothing but what is there tells it from anything else."""
    trace = (f"{key}/{name}" for name in ("attempts", "claims"))
    if _exists(store, f"{key}/{LATEST}") or any(_holds_something(store, folder) for folder in trace):
        return key
    nodes = nodes_below(store, f"{key}/{FLYTE_PREFIXES}")
    if nodes:
        raise _several(store, key, nodes)
    hint = (
        f"Check the bucket and the spelling. Nodes of Flyte are at {_SHAPE}; the name of an execution needs"
        " --root"
    )
    url = store.url(key).rstrip("/")
    raise NothingThereError(
        url, [f"{url}/{name}" for name in (LATEST, "attempts/", "claims/", f"{FLYTE_PREFIXES}/")], hint
    )


def _refuse_nothing(here: Here) -> None:
    """A node of Flyte can be named before it exists; a name with a typo looks the same."""
    store, node = here.store, here.node
    if not here.is_flyte or here.latest.read().token is not None:
        return
    attempts = range(max(node.attempt, LOOK_AHEAD))
    homes = list(dict.fromkeys((*node.own_homes(), *(h for a in attempts for h in node.homes_of(a)))))
    if any(_holds_something(store, home) for home in homes):
        return
    execution = node.prefix.rpartition("/")[0]
    raise NothingThereError(
        here.url,
        [here.latest.url, *(f"{store.url(home)}/" for home in homes)],
        "Check the bucket, the root and every name. An execution in recover mode is also told of another's"
        " checkpoints by Flyte, which cannot be seen from here",
        [store.url(node) for node in nodes_below(store, execution)],
    )


def _several(store: Store, key: str, nodes: list[str]) -> SeveralNodesError:
    count = "1 node is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
    return SeveralNodesError(
        f"{count} below this, TARGET is one node",
        store.url(key),
        first_few([store.url(node) for node in nodes]),
    )


def _exists(store: Store, key: str) -> bool:
    try:
        store.read(key)
    except NotFoundError:
        return False
    return True


def _holds_something(store: Store, folder: str) -> bool:
    return any(True for _ in store.list(folder))


def _author(clock: Clock) -> str:
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
