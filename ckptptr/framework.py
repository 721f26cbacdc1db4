"""What the module of each training framework makes of what it is given: checkpoints, and what was logged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ckptptr.checkpoints import Checkpoints


def checkpoints_and_manners(given: Any) -> tuple[Checkpoints, Callable[[], AbstractContextManager[Any]]]:
    """The checkpoints of this process; and, where `given` is a task's checkpoint, its kind of errors."""
    return getattr(given, "checkpoints", given), getattr(given, "_manners", nullcontext)


def numbers(logged: Mapping[str, Any]) -> dict[str, float]:
    """What was logged, for the metadata: the finite numbers, also those in tensors of one element."""
    plain = {name: each.item() if _is_one(each) else each for name, each in logged.items()}
    return {name: n for name, n in plain.items() if isinstance(n, int | float) and math.isfinite(n)}


def _is_one(value: Any) -> bool:
    """Whether it is a tensor of one element; without an import of torch."""
    return hasattr(value, "numel") and value.numel() == 1
