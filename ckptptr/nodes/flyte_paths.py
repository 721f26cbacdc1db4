"""Flyte's arithmetic: where it puts the checkpoints of any attempt of any node.

    <root>/<shard>/[infix/]<uid>/_flytecheckpoints           the home of one attempt
    <root>/_ckptptr/<project>/<domain>/<execution>/<node>    the node prefix, the same for all attempts

Flyte tells an attempt one earlier path, the one just before its own. This module computes all of
them, byte for byte as Flyte v1.16.8 does in Go (`FixedLengthUniqueIDForParts`, `GenerateUniqueID`,
`ComputeRawOutputPrefix`, `NewShardedRawOutputPath`). It only computes: `ckptptr.flyte.identity` proves that
a layout is Flyte's own.

Flyte 2 (`ComputeActionOutputPath`) hashes a name that no pod knows into a shard. The shard is the same for
all attempts, so that everything before the action is the root:

    <scheme>://<bucket>/<shard>/<rest>    the root
    <root>/<action>/<attempt>/_flytecheckpoints    the home, attempts from 1
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.names import DIGITS, NODES, utf8

HOME = "_flytecheckpoints"
"""The last segment of every home (`CheckpointPrefix` in Flyte's `ioutils`)."""

UID_LIMITS = (50, 47)
"""How many bytes the uid of an attempt may have: 50; in Ray tasks 47, since Flyte v1.16.0."""

_NODE_LIMIT = 20

_SHARD_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"
SHARDS = tuple(first + second for first in _SHARD_DIGITS for second in _SHARD_DIGITS)
"""All values of `shard`, in order."""
_BASE32 = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"abcdefghijklmnopqrstuvwxyz123456")

_ARRAY_NODE = re.compile(r"(?P<parent>.+)_(?P<attempt>[0-9]+)_i(?P<index>[0-9]+)")
_ACTION_NODE = re.compile(r"(?P<action>.+)_v2")
_NODE_PREFIX = re.compile(rf"(.*)/{NODES}/([^/]+)/([^/]+)/([^/]+)/([^/]+)/?")


def fnv1a_32(data: bytes) -> int:
    """The 32-bit FNV-1a hash, as Go's `hash/fnv.New32a`."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def fixed_length_id(max_bytes: int, parts: Iterable[str]) -> str:
    """The parts joined by dashes; if that is longer than `max_bytes`, eight characters of hash.

    Raises:
        InvalidArgumentError: the hash is longer too. Flyte refuses that as well.
    """
    joined = ""
    for part in parts:
        # As Flyte does: a dash follows only what is not empty.
        joined += f"-{part}" if joined else part
    encoded = utf8(joined)
    if len(encoded) <= max_bytes:
        return joined
    digest = base64.b32encode(fnv1a_32(encoded).to_bytes(4, "big")).rstrip(b"=").translate(_BASE32)
    hashed = f"f{digest.decode()}"
    if len(hashed) > max_bytes:
        raise InvalidArgumentError(f"an id of {max_bytes} bytes has no room for a hash", key=joined)
    return hashed


def shard(uid: str) -> str:
    """The two characters that spread raw outputs over a bucket; they differ between attempts."""
    return SHARDS[fnv1a_32(utf8(uid)) % len(SHARDS)]


def is_lineage(text: str) -> bool:
    """Whether `node_uid` can read it: a manifest may say anything."""
    return re.fullmatch(rf"[^/]+(/{DIGITS}/[^/]+)*", text) is not None


def node_uid(lineage: str) -> str:
    """Flyte's unique id of the node at the end of a lineage; hashed at each step that is too long.

    Args:
        lineage: node ids and, between them, the attempt of each parent: `n0`, `n0/0/dn0`, `n2/1/n0/0/n3`.
    """
    first, *rest = lineage.split("/")
    uid = fixed_length_id(_NODE_LIMIT, [first])
    for parent_attempt, node in zip(rest[::2], rest[1::2], strict=True):
        uid = fixed_length_id(_NODE_LIMIT, [uid, parent_attempt, node])
    return uid


def array_node(parent: str, parent_attempt: int, index: int) -> str:
    """Our name for one index of a legacy map task (k8s-array), which has no node id of its own in Flyte.

    It holds the attempt of the parent: after a retry of the parent, the attempts of the index count from 0
    again. flytekit and flyteadmin make node ids of letters, digits and dashes; the underscores make this
    name different from all of them.
    """
    return f"{parent}_{parent_attempt}_i{index}"


def action_node(action: str) -> str:
    """Our name for an action of Flyte 2; the `_v2` in its prefix says how its homes are computed."""
    return f"{action}_v2"


def lineage_node(lineage: str, *, is_array: bool) -> str:
    """The node at the end of a lineage, whose last part is `i<index>` for a legacy map task."""
    if not is_array:
        return node_uid(lineage)
    parent, attempt, index = lineage.rsplit("/", 2)
    return array_node(node_uid(parent), int(attempt), int(index.removeprefix("i")))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePrefix:
    """One node of one execution, and from that the homes of all its attempts.

    Attributes:
        root: URL of the raw-output base, without a trailing slash.
        project, domain, execution: as Flyte names them.
        node: Flyte's unique node id, an `array_node` or an `action_node`.
        infix: path segments between shard and uid; only Union's builds of Flyte have some.
        uid_limits: the lengths of uid to compute homes for; empty for an unknown layout.
    """

    root: str
    project: str
    domain: str
    execution: str
    node: str
    infix: tuple[str, ...] = ()
    uid_limits: tuple[int, ...] = UID_LIMITS

    @staticmethod
    def parse(url: str) -> NodePrefix | None:
        """The node whose prefix `url` is; None if it is no node prefix.

        The prefix tells neither the `infix` nor the length of uid: no infix and both lengths are assumed.
        """
        found = _NODE_PREFIX.fullmatch(url)
        if found is None:
            return None
        root, project, domain, execution, node = found.groups()
        return NodePrefix(root=root, project=project, domain=domain, execution=execution, node=node)

    @property
    def first_attempt(self) -> int:
        return 1 if _ACTION_NODE.fullmatch(self.node) else 0

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that hold the homes of all its attempts and nothing else; none in other layouts."""
        if not (self.is_array or self.first_attempt):
            return ()
        return tuple(
            home.removesuffix(f"/{self.first_attempt}/{HOME}") for home in self.homes_of(self.first_attempt)
        )

    @property
    def is_array(self) -> bool:
        """Whether it is one index of a legacy map task."""
        return _ARRAY_NODE.fullmatch(self.node) is not None

    @property
    def prefix(self) -> str:
        """URL of the folder of LATEST, without a trailing slash."""
        return "/".join((self.root, NODES, self.project, self.domain, self.execution, self.node))

    def homes_of(self, attempt: int) -> tuple[str, ...]:
        """The URLs that the home of this attempt may have: one for each possible uid."""
        action = _ACTION_NODE.fullmatch(self.node)
        if action:
            is_one = self.uid_limits and attempt >= self.first_attempt
            return (f"{self.root}/{action['action']}/{attempt}/{HOME}",) if is_one else ()
        array = _ARRAY_NODE.fullmatch(self.node)
        if array:
            node, task_attempt, below = (
                array["parent"],
                array["attempt"],
                f"{array['index']}/{attempt}/{HOME}",
            )
        else:
            node, task_attempt, below = self.node, str(attempt), HOME
        uids = (fixed_length_id(limit, [self.execution, node, task_attempt]) for limit in self.uid_limits)
        return tuple(
            "/".join((self.root, shard(uid), *self.infix, uid, below)) for uid in dict.fromkeys(uids)
        )
