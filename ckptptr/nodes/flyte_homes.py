"""A home taken apart, and computed again: the proof that a layout is Flyte's own.

The shard is found by its value, from the uid to the left: Union's builds put more segments between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ckptptr.nodes.flyte_paths import HOME, UID_LIMITS, NodePrefix, action_node, shard
from ckptptr.protocol.names import DIGITS, NUMERAL

_HASHED = re.compile(r"f[a-z1-6]{7}")
# A uid is never all digits; the two numbers are the index and the retry of a legacy map task.
_TAIL = re.compile(
    rf"(?P<above>.+)/(?P<uid>[^/]*[^/0-9][^/]*)(?:/(?P<index>{DIGITS})/(?P<retry>{DIGITS}))?/{HOME}"
)


@dataclass(frozen=True, slots=True)
class Home:
    """A home taken apart: `<root>/<shard>/[infix/]<uid>[/<index>/<retry>]/_flytecheckpoints`."""

    url: str
    root: str
    infix: tuple[str, ...]
    uid: str
    array: tuple[int, int] | None

    @property
    def is_hashed(self) -> bool:
        return _HASHED.fullmatch(self.uid) is not None

    @staticmethod
    def parse(url: str) -> Home | None:
        """None if nothing to the left of the uid is its shard: this is not a layout of Flyte's."""
        tail = _TAIL.fullmatch(url)
        if tail is None:
            return None
        above = tail["above"].split("/")
        wanted = shard(tail["uid"])
        first = 3 if "://" in url else 1  # a bucket is no shard
        for at in range(len(above) - 1, first - 1, -1):
            if above[at] == wanted:
                array = (int(tail["index"]), int(tail["retry"])) if tail["index"] else None
                return Home(url, "/".join(above[:at]), tuple(above[at + 1 :]), tail["uid"], array)
        return None

    def place(self, node: NodePrefix, attempt: int) -> NodePrefix | None:
        """`node` with the root and infix of this home; None if its home for `attempt` is not this one.

        Only the lengths of uid that give this home are kept. A short name fits both lengths, and they may
        still differ for another attempt.
        """
        placed = replace(node, root=self.root, infix=self.infix)
        limits = tuple(
            limit
            for limit in UID_LIMITS
            if replace(placed, uid_limits=(limit,)).homes_of(attempt) == (self.url,)
        )
        return replace(placed, uid_limits=limits) if limits else None


_ACTION = re.compile(rf"(?P<root>.+)/(?P<action>[^/]+)/(?P<attempt>{NUMERAL})/{HOME}")


@dataclass(frozen=True, slots=True)
class ActionHome:
    """A home of Flyte 2 taken apart: `<root>/<action>/<attempt>/_flytecheckpoints`; its node in a prefix."""

    url: str
    root: str
    node: str
    attempt: int

    @staticmethod
    def parse(url: str) -> ActionHome | None:
        """None if it has not that form, or is one of Flyte 1: an index of a legacy map task looks alike."""
        found = _ACTION.fullmatch(url)
        if found is None or Home.parse(url) is not None:
            return None
        return ActionHome(url, found["root"], action_node(found["action"]), int(found["attempt"]))
