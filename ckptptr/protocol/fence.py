"""Fencing: which process may still move LATEST.

LATEST names the highest attempt that ever moved it, and which *incarnation* of that attempt: where a
platform restarts a container inside one attempt, the predecessor may live on. A process below the fence
must stop. An incarnation takes the node over with its first own move of LATEST, or by an adopt when it
restores what its predecessor left; from then on the predecessor must stop. No clock decides anything here.
"""

from __future__ import annotations

from ckptptr.errors import SupersededError
from ckptptr.protocol.pointer import Pointer


class Fence:
    """Where one process stands.

    Args:
        attempt: its own; -1 for a bystander (a person, an evaluation).
        incarnation: a token that all processes of one incarnation of the attempt share. Empty where
            incarnations cannot be told apart: then all processes of the attempt are siblings.
    """

    def __init__(self, attempt: int = -1, incarnation: str = "") -> None:
        self.attempt = attempt
        self.incarnation = incarnation
        self._has_taken_over = False
        self._has_lost = False
        self._highest = -1

    def notice(self, pointer: Pointer | None) -> None:
        """LATEST as it was read, or written by us: is it ours, or was it?

        It was, if it lists us as a predecessor: the reply to our move was lost, or it was a sibling's. The
        highest fence stays known, and who took over from us: a person's edit of LATEST has neither.
        """
        if pointer is not None and not pointer.edited:
            self._highest = max(self._highest, pointer.fence)
        if pointer is not None and self._is_of_our_attempt(pointer):
            self._has_taken_over |= self.incarnation in (pointer.incarnation, *pointer.predecessors)
            self._has_lost |= self.has_lost(pointer)

    def is_of_another_incarnation(self, pointer: Pointer | None) -> bool:
        """Whether another incarnation of our own attempt has moved LATEST last."""
        return (
            pointer is not None
            and self._is_of_our_attempt(pointer)
            and pointer.incarnation not in ("", self.incarnation)
        )

    def has_lost(self, pointer: Pointer | None) -> bool:
        """Whether another incarnation of our attempt has taken the node over from ours."""
        return self._has_lost or (self._has_taken_over and self.is_of_another_incarnation(pointer))

    def is_below(self, attempt: int, pointer: Pointer | None) -> bool:
        """Whether we are below the fence, which is `attempt`, or was above it when we read LATEST before."""
        return max(attempt, self._highest) > self.attempt or self.has_lost(pointer)

    def check(self, attempt: int, pointer: Pointer | None, *, url: str, hint: str) -> None:
        """Refuse to go on where we are below the fence.

        Args:
            attempt: the fence in force.
            pointer: LATEST, where there is one.

        Raises:
            SupersededError: a newer attempt, or another incarnation of ours, owns LATEST.
        """
        if not self.is_below(attempt, pointer):
            return
        attempt = max(attempt, self._highest)
        said = f"attempt {attempt} has taken over, this is attempt {self.attempt}"
        if attempt <= self.attempt:
            said = f"attempt {self.attempt} was started again and has taken over, this is its predecessor"
        raise SupersededError(said, key=url, hint=hint)

    def marked_on(self, pointer: Pointer | None) -> str:
        """The incarnation to write beside our attempt, given LATEST as it is."""
        if self.incarnation or pointer is None or pointer.edited or pointer.fence != self.attempt:
            return self.incarnation
        return pointer.incarnation  # a sibling of unknown incarnation does not take over

    def _is_of_our_attempt(self, pointer: Pointer) -> bool:
        return bool(self.incarnation) and not pointer.edited and pointer.fence == self.attempt
