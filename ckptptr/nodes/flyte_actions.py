"""What a pod of Flyte 2 knows about itself, and what of that can be proven.

    <scheme>://<bucket>/<shard>/<rest>/<action>/<attempt>/_flytecheckpoints

The pod is told the names of run and action, and `<scheme>://<bucket>/<rest>` (the base of the run's outputs).
Only the path has the attempt, from 1. The shard hashes the name of a Kubernetes object, which no pod knows;
it is the same for all attempts of the action. So the proof differs from that in Flyte 1: the base, if given,
agrees, and **the home before our own, computed, is the previous checkpoint that Flyte gave**. Attempt 1 has
none. A disk has no bucket: there the shard may be any name in the path.

A preemption does not raise the attempt there: the new pod gets the same home and the same previous one.
Source: the executor of Flyte 2 (2026-08) and the SDK 2.12.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ckptptr.nodes.flyte_identity import FlyteIdentity, check_names
from ckptptr.nodes.flyte_paths import HOME, UID_LIMITS, NodePrefix, action_node
from ckptptr.protocol.names import NUMERAL

_ROOT = re.compile(r"(?P<bucket>(?:[^/:]+://[^/]*)?)(?P<path>(?:/[^/]+)+)")
_SHARD = re.compile(r"[a-z0-9]{2}")


@dataclass(frozen=True, slots=True)
class Action:
    """One attempt of an action.

    Attributes:
        run, name: of the run, and of the action in it.
        attempt: from 1.
        home: its home.
        root: everything before the action in the home.
        base: where the run's outputs are, without the shard; "" if not known.
    """

    run: str
    name: str
    attempt: int
    home: str
    root: str
    base: str

    @staticmethod
    def read(home: str | None, *, run: str, name: str, base: str) -> Action | None:
        """The action whose home this is; None if it is not the home of an action of that name."""
        found = re.fullmatch(rf"(.+)/{re.escape(name)}/({NUMERAL})/{HOME}", home or "")
        if not (run and name and found and home):
            return None
        return Action(run, name, int(found[2]), home, found[1], base.rstrip("/"))

    def identity(
        self, *, project: str, domain: str, previous: str | None, task: str, version: str
    ) -> FlyteIdentity:
        """The node, and whether its homes are proven.

        Raises:
            UnidentifiedError: a name is no name of a folder.
        """
        check_names(project=project, domain=domain, run=self.run, action=self.name)
        node = NodePrefix(
            root=self.root,
            project=project,
            domain=domain,
            execution=self.run,
            node=action_node(self.name),
            uid_limits=UID_LIMITS,
        )
        why_not = self._why_not(node, previous)
        return FlyteIdentity(
            **asdict(replace(node, uid_limits=()) if why_not else node),
            lineage=self.name,
            is_index=False,
            task=task,
            version=version,
            attempt=self.attempt,
            home=self.home,
            previous=previous,
            why_not=why_not,
            recovered=None,
        )

    def _why_not(self, node: NodePrefix, previous: str | None) -> str:
        bases = [*_without_shard(self.root)]
        if not bases:
            return f"no shard of two characters follows the bucket in {self.root}"
        if self.base and self.base not in bases:
            return f"_U_RUN_BASE is {self.base}, but the checkpoint path is below {self.root}"
        # An executor of 2026-04 named the own home as the previous one.
        expected = (*node.homes_of(self.attempt - 1), *node.homes_of(self.attempt))
        if self.attempt > 1 and previous not in expected:
            return (
                f"the attempt before {self.attempt} of action {self.name} ({self.run}) would be at "
                f"{expected[0]}, but the previous checkpoint given is {previous or 'none'}"
            )
        return ""


def _without_shard(root: str) -> Iterator[str]:
    """What the root would be without the name in it that may be the shard."""
    found = _ROOT.fullmatch(root)
    if found is None:
        return
    bucket, names = found["bucket"], found["path"].split("/")[1:]
    is_disk = bucket.endswith("://") or not bucket
    for at, name in enumerate(names if is_disk else names[:1]):
        if _SHARD.fullmatch(name):
            yield "/".join((bucket, *names[:at], *names[at + 1 :]))
