"""A node of Flyte as one of its attempts sees it, whichever SDK the attempt runs."""

from __future__ import annotations

from dataclasses import dataclass

from ckptptr.errors import UnidentifiedError
from ckptptr.nodes.flyte_paths import NodePrefix
from ckptptr.nodes.plain import key_beside


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """The home in another execution that recover mode handed to attempt 0.

    Attributes:
        home: URL of that execution's last home of the same node.
        attempt: the attempt it belonged to; None if Flyte hashed the uid.
        node: that execution's node; None if Flyte hashed the uid.
    """

    home: str
    attempt: int | None = None
    node: NodePrefix | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlyteIdentity(NodePrefix):
    """A node as one of its attempts sees it.

    Attributes:
        lineage: the unhashed path of the node (`n2/1/n0/0/n3`), to notice collisions of Flyte's 32-bit
            hash; "" if it was deduced from the checkpoint path alone.
        is_index: whether it is one index of a map task of any kind.
        task, version: of the task, or "".
        attempt: Flyte's counter, from 0, in Flyte 2 from 1; in a legacy map task the retry of this index.
        home: URL of this attempt's home, as given, without a trailing slash.
        previous: URL that Flyte gave as the previous checkpoint, likewise, or None.
        why_not: the sentence that says why the homes are not verified; "" if they are.
        recovered: set if `previous` was proven to belong to another execution.
    """

    lineage: str
    is_index: bool
    task: str
    version: str
    attempt: int
    home: str
    previous: str | None
    why_not: str
    recovered: Recovered | None

    @property
    def verified(self) -> bool:
        """Whether the own home, computed, is the one given. If not, `homes_of` is empty."""
        return not self.why_not

    def key(self, url: str) -> str:
        """The key of `url`, in the store of `home`.

        Raises:
            InvalidArgumentError: it is in another store.
        """
        return key_beside(url, self.home)


def check_names(**named: str) -> None:
    """Refuse names that no folder can have.

    Raises:
        UnidentifiedError: says which one.
    """
    for name, value in named.items():
        if value in ("", ".", "..") or "/" in value:
            raise UnidentifiedError(f"{name} is {value!r}, which names no folder")


def given(argument: str | None) -> str | None:
    """A path that Flyte gave, without trailing slashes; None for each of its ways to give none."""
    argument = (argument or "").strip().strip('"')
    return None if argument.startswith("{{") else argument.rstrip("/") or None
