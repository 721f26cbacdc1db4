"""The counter task, with a hook that hears each event and then fails."""

import sys

from counter_task import count_to

import ckptptr


def hear(event: ckptptr.Event) -> None:
    print("heard", event.name, event.verdict, event.attempt, event.requests, file=sys.stderr, flush=True)
    raise ZeroDivisionError


ckptptr.on_event(hear)
__all__ = ["count_to"]
