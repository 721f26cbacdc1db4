"""How an attempt dies, as a value that reads like a sentence.

    after_save(3)                                 SIGKILL as soon as LATEST names save 3
    sigterm(in_save(2), grace=5)                  SIGTERM in the middle of save 2; SIGKILL 5 s later
    lost_network(before_save(4), requests=20)     20 requests in a row get no answer

Saves are counted from 1 in the attempt that dies. `str(death)` is the form of `ckptptr simulate --die`,
and `parse` reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ckptptr.errors import InvalidArgumentError
from ckptptr.protocol.names import LATEST, MANIFESTS
from ckptptr.testing.faults import Fault

GRACE = 30.0
"""Seconds between SIGTERM and SIGKILL, as in Kubernetes (`terminationGracePeriodSeconds`)."""

FORMS = """\
none                                this attempt is not killed
before python                       the pod is killed before its Python starts
before the first save               killed when it is about to send its first save
before save K, after save K         killed when it is about to send save K; once LATEST names save K
in save K                           killed after the payload of save K, before its manifest
byte B of save K                    killed when B bytes of the payload of save K are sent
sigterm WHERE, sigterm after S s    SIGTERM then, or S seconds after the pod started; SIGKILL 30 s
                                    later, or as in: sigterm after save 3, grace 5 s
lost network WHERE                  from then on the store answers no request; or a number of them:
                                    lost network after save 3, 20 requests"""
"""WHERE is one of the forms with a save in it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A moment in a save; see `FORMS`."""

    where: Literal["before", "in", "after", "byte"]
    save: int
    byte: int = 0

    def __post_init__(self) -> None:
        if self.save < 1:
            raise InvalidArgumentError(f"save {self.save}: saves count from 1")
        if self.byte < 0:
            raise InvalidArgumentError(f"byte {self.byte}: bytes count from 0")

    def __str__(self) -> str:
        byte = f" {self.byte} of" if self.where == "byte" else ""
        return f"{self.where}{byte} save {self.save}"

    def fault(self, action: Literal["kill", "term", "cut"], times: int | None) -> Fault:
        match self.where:
            case "before":
                return Fault(action, save=self.save, times=times)
            case "in":
                return Fault(action, save=self.save, key=f"/{MANIFESTS}/", times=times)
            case "byte":
                return Fault(action, "during", "upload", save=self.save, byte=self.byte, times=times)
            case "after":
                return Fault(action, "after", save=self.save, key=f"/{LATEST}$", times=times)


@dataclass(frozen=True, slots=True)
class Death:
    """How one attempt dies: made by the functions of this module.

    `at`: None is before Python has started, a number that many seconds after the pod was. `grace`, in
    seconds, is between SIGTERM and SIGKILL. `requests` get no answer; None: none does any more.
    """

    cause: Literal["kill", "sigterm", "lost network"]
    at: Point | float | None
    grace: float = GRACE
    requests: int | None = None

    def __str__(self) -> str:
        where = (
            f"after {_plain(self.at)} s" if isinstance(self.at, float) else str(self.at or "before python")
        )
        match self.cause:
            case "kill":
                return where
            case "sigterm":
                return f"sigterm {where}" + ("" if self.grace == GRACE else f", grace {_plain(self.grace)} s")
            case "lost network":
                return f"lost network {where}" + (f", {self.requests} requests" if self.requests else "")

    @property
    def fault(self) -> Fault | None:
        """The fault of requests to the store; None if the death comes from outside."""
        if not isinstance(self.at, Point):
            return None
        match self.cause:
            case "kill":
                return self.at.fault("kill", None)
            case "sigterm":
                return self.at.fault("term", None if self.at.where in ("byte", "after") else 1)
            case "lost network":
                return self.at.fault("cut", self.requests)


def before_python() -> Death:
    """As an eviction during the image pull, or out of memory at start."""
    return Death("kill", None)


def before_save(number: int) -> Death:
    """Before anything of that save is sent."""
    return Death("kill", Point("before", number))


def before_first_save() -> Death:
    return before_save(1)


def in_save(number: int) -> Death:
    """After its payload and before its manifest: a torn save, which must never be restored."""
    return Death("kill", Point("in", number))


def after_save(number: int) -> Death:
    """As soon as LATEST names it: that save must not be lost."""
    return Death("kill", Point("after", number))


def at_byte(byte: int, *, of_save: int) -> Death:
    """After that many bytes of its payload, over all of its files."""
    return Death("kill", Point("byte", of_save, byte))


def sigterm(at: Death | float, *, grace: float = GRACE) -> Death:
    """What Kubernetes does to a pod: SIGTERM, and SIGKILL `grace` seconds later if it still runs.

    Args:
        at: `after_save(3)` and the like, or seconds after the pod started.
    """
    if isinstance(at, Death):
        return Death("sigterm", _point(at), grace=float(grace))
    return Death("sigterm", float(at), grace=float(grace))


def lost_network(at: Death, *, requests: int | None = None) -> Death:
    """From then on requests get no answer: all of them, or the given number."""
    return Death("lost network", _point(at), requests=requests)


def _point(death: Death) -> Point:
    if death.cause != "kill" or not isinstance(death.at, Point):
        raise InvalidArgumentError(f"{str(death)!r} is no moment in a save", hint="after_save(3) is one")
    return death.at


_SECONDS = r"(\d+(?:\.\d+)?) ?s"
_SIGTERM = re.compile(rf"sigterm (?:after {_SECONDS}|(.*?))(?:, grace {_SECONDS})?")
_LOST = re.compile(r"lost network (.*?)(?:, (\d+) requests?)?")
_POINT = re.compile(r"(?:(before|in|after)|(?:at )?byte (\d+) of) save (\d+)")


def parse(text: str) -> Death | None:
    """The death that `text` means; None for `none`.

    Raises:
        InvalidArgumentError: it has none of the `FORMS`.
    """
    words = " ".join(text.lower().split())
    if words == "none":
        return None
    if words == "before python":
        return before_python()
    if found := _SIGTERM.fullmatch(words):
        seconds, where, grace = found.groups()
        at = float(seconds) if seconds else _parse_point(where, text)
        return sigterm(at, grace=float(grace) if grace else GRACE)
    if found := _LOST.fullmatch(words):
        return lost_network(_parse_point(found[1], text), requests=int(found[2]) if found[2] else None)
    return _parse_point(words, text)


def _parse_point(words: str, text: str) -> Death:
    words = words.replace("the first save", "save 1").replace("in the middle of", "in")
    found = _POINT.fullmatch(words)
    if found is None:
        raise InvalidArgumentError(f"{text!r} is no way to die", hint=f"These are:\n{FORMS}")
    where, byte, save = found.groups()
    if byte:
        return at_byte(int(byte), of_save=int(save))
    return {"before": before_save, "in": in_save, "after": after_save}[where](int(save))


def _plain(seconds: float) -> str:
    return repr(seconds).removesuffix(".0")
