"""Which checkpoints LATEST names, as a user asks for them: the latest, one by its step, a pin."""

from __future__ import annotations

from ckptptr.errors import DamagedError, NotFoundError
from ckptptr.protocol.adopt import fence_in_force
from ckptptr.protocol.choose import Chooser
from ckptptr.protocol.pointer import Target
from ckptptr.session.session import Session

_TOLD = 20
"""How many steps an error lists at most."""


def latest(session: Session) -> Target | None:
    """The target of LATEST; None where it names none.

    Raises:
        DamagedError: LATEST cannot be read.
    """
    targets = _retained(session)
    return targets[0] if targets else None


def at_step(session: Session, step: int) -> str:
    """The reference of the retained checkpoint with that step; of several the newest publish.

    Raises:
        NotFoundError: there is none; names the steps that there are.
        DamagedError: LATEST cannot be read.
    """
    references = {target.step: target.checkpoint for target in reversed(_retained(session))}
    if step in references:
        return references[step]
    steps = sorted((there for there in references if there is not None), key=lambda there: abs(there - step))
    nearest = f"the nearest {_TOLD} of {len(steps)}: " if len(steps) > _TOLD else ""
    raise NotFoundError(
        f"no retained checkpoint has step {step}",
        key=session.latest.url,
        hint=f"Retained steps: {nearest}{', '.join(map(str, sorted(steps[:_TOLD]))) or 'none'}",
    )


def pin(session: Session, checkpoint: str, note: str) -> None:
    """Pin as a person does, but not below the fence.

    Raises:
        SupersededError: a newer attempt owns LATEST; nothing was written.
    """
    _chooser(session).pin(checkpoint, note)
    session.forget()


def unpin(session: Session, checkpoint: str) -> None:
    """As `pin`."""
    _chooser(session).unpin(checkpoint)
    session.forget()


def _retained(session: Session) -> tuple[Target, ...]:
    seen = session.latest.read()
    if seen.damage:
        raise DamagedError(seen.damage, hint="A restore without a step finds the newest checkpoint")
    return seen.pointer.retained if seen.pointer else ()


def _chooser(session: Session) -> Chooser:
    seen = session.latest.read()
    fence = fence_in_force(session.store, session.node, seen)
    session.latest.check_fence(fence, seen.pointer, hint="This process must stop")
    return Chooser(session.store, session.node, session.latest, session.clock)
