"""What a pod of Flyte 2 knows about itself, and what of that can be proven.

    <scheme>://<bucket>/<shard>/<rest>/<action>/<attempt>/_flytecheckpoints

The environment has the names of run and action, and `<scheme>://<bucket>/<rest>` (the base of the run's
outputs). Only the path has the attempt, from 1. The shard hashes the name of a Kubernetes object, which no
pod knows; it is the same for all attempts of the action. So the proof differs from that in Flyte 1: the base,
if given, agrees, and **the home before our own, computed, is the previous checkpoint that Flyte gave**.
Attempt 1 has none.

A preemption does not raise the attempt there: the new pod gets the same home and the same previous one.
Source: the executor of Flyte 2 (2026-08) and the SDK 2.12.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ckptptr.nodes.flyte_paths import HOME, UID_LIMITS, NodePrefix, action_node

_RUN, _ACTION, _BASE = "RUN_NAME", "ACTION_NAME", "_U_RUN_BASE"

_ROOT = re.compile(r"(?P<bucket>(?:[^/:]+://[^/]*)?)/(?P<shard>[a-z0-9]{2})(?P<rest>(?:/.+)?)")


@dataclass(frozen=True, slots=True)
class Action:
    """One attempt of an action.

    Attributes:
        run, name: of the run, and of the action in it.
        attempt: from 1.
        root: everything before the action in the home.
        base: where the run's outputs are, without the shard; "" if not known.
    """

    run: str
    name: str
    attempt: int
    root: str
    base: str

    @staticmethod
    def read(home: str | None, environ: Mapping[str, str]) -> Action | None:
        """The action whose home this is; None outside Flyte 2."""
        run, name = environ.get(_RUN, ""), environ.get(_ACTION, "")
        found = re.fullmatch(rf"(.+)/{re.escape(name)}/([1-9][0-9]*)/{HOME}", home or "")
        if not (run and name and found):
            return None
        return Action(run, name, int(found[2]), found[1], environ.get(_BASE, "").rstrip("/"))

    def place(self, unplaced: NodePrefix, previous: str | None) -> tuple[NodePrefix, str]:
        """The node, and why its homes are not proven; "" if they are."""
        node = replace(unplaced, root=self.root, node=action_node(self.name), uid_limits=UID_LIMITS)
        why_not = self._why_not(node, previous)
        return (replace(node, uid_limits=()) if why_not else node), why_not

    def _why_not(self, node: NodePrefix, previous: str | None) -> str:
        root = _ROOT.fullmatch(self.root)
        if root is None:
            return f"no shard of two characters follows the bucket in {self.root}"
        if self.base and f"{root['bucket']}{root['rest']}" != self.base:
            return f"{_BASE} is {self.base}, but the checkpoint path is below {self.root}"
        # An executor of 2026-04 named the own home as the previous one.
        expected = (*node.homes_of(self.attempt - 1), *node.homes_of(self.attempt))
        if self.attempt > 1 and previous not in expected:
            return (
                f"the attempt before {self.attempt} of action {self.name} ({self.run}) would be at "
                f"{expected[0]}, but the previous checkpoint given is {previous or 'none'}"
            )
        return ""
