"""The worlds that `make prove` explores. A, B and C are processes of attempts; P and Q are people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.helpers import FLYTE
from tests.prove.actors import Actor, Person, Stage
from tests.prove.setting import Prepared, Setting, attempt

Script = Callable[[Any], object]


def _cast(**actors: Script | tuple[Script, dict[str, Any]]) -> Callable[[Stage], None]:
    """Makes the actors of a world: a script, or one with settings of its attempt."""

    def act(stage: Stage) -> None:
        for name, actor in actors.items():
            script, settings = actor if isinstance(actor, tuple) else (actor, {})
            if name in "PQ":
                Person(stage, name, script)
            else:
                attempt(stage, name, script, **settings)

    return act


def _of(number: int, script: Script, **settings: Any) -> tuple[Script, dict[str, Any]]:
    return script, {"attempt": number, **settings}


# What was stored before


def _two_saved(world: Prepared) -> None:
    world.save(0, "t1", "t2")


def _one_expired(world: Prepared) -> None:
    """Of three saves two are named, and nothing is deleted yet."""
    world.save(0, "t1", "t2", "t3")


def _two_expired(world: Prepared) -> None:
    world.save(0, "t1", "t2", "t3", "t4")


def _held_again(world: Prepared) -> None:
    """A person has chosen since an attempt took over."""
    world.save(0, "t1")
    world.save(1, "t2")
    world.person().use(world.committed()[0])


def _held(world: Prepared) -> None:
    world.save(0, "t1", "t2")
    world.person().use(world.committed()[0])


def _orphan(world: Prepared) -> None:
    """An attempt has committed a checkpoint and died; the next one has saved."""
    world.save(0, "t1", "t2")
    kept = world.store.read(world.latest_key)[0]
    world.save(0, "t3")
    world.write(kept)
    world.save(1, "t4")


def _pinned_and_held(world: Prepared) -> None:
    _pinned(world)
    world.person().use(world.committed()[0])


def _pinned(world: Prepared) -> None:
    world.save(0, "t1", "t2")
    world.person().pin(world.committed()[0])


# Scripts


def _saves(*tags: str) -> Script:
    def script(actor: Actor) -> None:
        for tag in tags:
            actor.save(tag)

    return script


def _adds(*files: tuple[str, str]) -> Script:
    def script(actor: Actor) -> None:
        for name, tag in files:
            actor.add(name, tag)

    return script


def _restores(actor: Actor) -> None:
    actor.restore()


def _resumes(*tags: str) -> Script:
    def script(actor: Actor) -> None:
        actor.restore()
        for tag in tags:
            actor.save(tag)

    return script


def _resumes_and_adds(name: str, *tags: str) -> Script:
    def script(actor: Actor) -> None:
        actor.restore()
        for tag in tags:
            actor.add(name, tag)

    return script


def _part(rank: int, of: int = 2) -> Script:
    return lambda actor: actor.part(rank, of, "t21")


_SAME = {"incarnation": "r1"}
_SWEEPS = {"background": "now"}


def _chooses_and_releases(person: Person) -> None:
    person.use(1)
    person.release()


WORLDS = [
    Setting(
        "siblings add files",
        _cast(A=_adds(("opt", "t11")), B=_adds(("rng", "t12"))),
        _two_saved,
        merges=True,
    ),
    Setting(
        "siblings add files to an empty node",
        _cast(A=_adds(("opt", "t11")), B=_adds(("rng", "t12"))),
        merges=True,
    ),
    Setting("a zombie saves", _cast(A=_of(0, _saves("t11")), B=_of(1, _saves("t12"))), _two_saved),
    Setting("a zombie goes on", _cast(A=_of(0, _saves("t11", "t12")), B=_of(1, _resumes("t13"))), _two_saved),
    Setting(
        "a zombie goes on in Flyte",
        _cast(A=_of(0, _saves("t11", "t12")), B=_of(1, _resumes("t13"))),
        _two_saved,
        layout=FLYTE,
    ),
    Setting(
        "an attempt starts in place again",
        _cast(A=(_saves("t11", "t12"), {"incarnation": "r1"}), B=(_resumes("t13"), {"incarnation": "r2"})),
        _two_saved,
    ),
    Setting(
        "an attempt starts in place again and both restore",
        _cast(A=(_resumes("t11"), {"incarnation": "r1"}), B=(_resumes("t12"), {"incarnation": "r2"})),
        _held,
    ),
    Setting(
        "an attempt starts in place again and does not restore",
        _cast(A=(_saves("t11", "t12"), {"incarnation": "r1"}), B=(_saves("t13"), {"incarnation": "r2"})),
        _two_saved,
    ),
    Setting(
        "a zombie resumes what a person chose",
        _cast(A=_of(0, _resumes("t11")), B=_of(1, _resumes("t12"))),
        _held,
    ),
    Setting(
        "a zombie restores what a person chose",
        _cast(A=_of(0, _resumes("t11")), B=_of(1, _restores)),
        _held_again,
    ),
    Setting(
        "siblings go on",
        _cast(A=_adds(("opt", "t11"), ("opt", "t13")), B=_adds(("rng", "t12"))),
        _two_saved,
        merges=True,
    ),
    Setting(
        "a sweep of what is borrowed",
        _cast(A=(_resumes_and_adds("opt", "t11", "t12", "t13"), _SWEEPS)),
        _two_saved,
    ),
    Setting(
        "a forward copy and a person who releases",
        _cast(A=_of(1, _restores, background="beside"), P=_chooses_and_releases),
        _held,
    ),
    Setting("a forward copy of a pinned checkpoint", _cast(A=_of(1, _restores, **_SWEEPS)), _pinned_and_held),
    Setting(
        "a late sweep and a text editor",
        _cast(A=(_saves("t11"), _SWEEPS), P=lambda p: p.edit(0)),
        _two_expired,
    ),
    Setting(
        "a late sweep, one line and a restore",
        _cast(A=(_saves("t11"), _SWEEPS), B=_restores, P=lambda p: p.write(1)),
        _one_expired,
        faults=("crash",),
    ),
    Setting(
        "two ranks restore",
        _cast(A=_of(1, _restores), B=_of(1, _restores)),
        _held,
    ),
    Setting(
        "two ranks resume what a person chose",
        _cast(A=_of(1, _resumes_and_adds("opt", "t11")), B=_of(1, _resumes_and_adds("rng", "t12"))),
        _held,
        merges=True,
    ),
    Setting(
        "a forward copy and an own save",
        _cast(A=_of(1, _resumes("t11"), background="beside")),
        _held,
    ),
    Setting(
        "a forward copy and a zombie",
        _cast(A=_of(0, _saves("t11")), B=_of(1, _restores, background="beside")),
        _held,
    ),
    Setting(
        "a forward copy and a person",
        _cast(A=_of(1, _restores, **_SWEEPS), P=lambda p: p.use(1)),
        _held,
    ),
    Setting(
        "a sweep and a person who chooses",
        _cast(A=(_saves("t11", "t12"), _SWEEPS), P=lambda p: p.use(0)),
        _two_saved,
    ),
    Setting(
        "a sweep and a person who pins",
        _cast(A=(_saves("t11", "t12"), _SWEEPS), P=lambda p: p.pin(0)),
        _two_saved,
    ),
    Setting(
        "a sweep and a person who unpins",
        _cast(A=(_saves("t11", "t12"), _SWEEPS), P=lambda p: p.unpin(0)),
        _pinned,
    ),
    Setting(
        "a sweep and a text editor",
        _cast(A=(_saves("t11"), _SWEEPS), P=lambda p: p.edit(1)),
        _one_expired,
    ),
    Setting(
        "a text editor and a restore",
        _cast(A=_of(1, _resumes("t11")), P=lambda p: p.edit(0)),
        _two_saved,
    ),
    Setting(
        "one line and a restore",
        _cast(A=_of(1, _restores), P=lambda p: p.write(0)),
        _two_saved,
    ),
    Setting(
        "a release and a save",
        _cast(A=_saves("t11", "t12"), P=lambda p: p.release()),
        _held,
    ),
    Setting(
        "a release and a restore",
        _cast(A=_of(1, _resumes("t11")), P=lambda p: p.release()),
        _held,
    ),
    Setting("a drop and a save", _cast(A=_saves("t11", "t12"), P=lambda p: p.drop(0)), _two_saved),
    Setting("a drop and a restore", _cast(A=_of(1, _resumes("t11")), P=lambda p: p.drop(0)), _held),
    Setting("a drop and a choice", _cast(P=lambda p: p.drop(0), Q=lambda q: q.use(0)), _two_saved),
    Setting("a rollback and a save", _cast(A=_saves("t11"), P=lambda p: p.rollback()), _two_saved),
    Setting("a sweep by hand and a save", _cast(A=_of(1, _saves("t11")), P=lambda p: p.sweep()), _orphan),
    Setting("a sweep by hand and a choice", _cast(P=lambda p: p.sweep(), Q=lambda q: q.use(2)), _orphan),
    Setting(
        "a search for orphans and a zombie",
        _cast(A=_of(0, _saves("t11")), B=_of(1, _saves("t12", "t13"), **_SWEEPS)),
        _two_saved,
    ),
    Setting("parts of two ranks", _cast(A=(_part(0), _SAME), B=(_part(1), _SAME)), _two_saved),
    Setting(
        "parts of two steps at once",
        _cast(
            A=(lambda a: a.part(0, 1, "t21"), _SAME),
            B=(lambda b: b.part(0, 1, "t22"), _SAME),
        ),
        _two_saved,
    ),
    Setting(
        "parts and a new attempt",
        _cast(A=(_part(0), _SAME), B=(_part(1), _SAME), C=_of(1, _saves("t22"), incarnation="r2")),
        _two_saved,
        faults=("crash",),
    ),
    Setting(
        "parts and a person who chooses",
        _cast(A=(_part(0), _SAME), B=(_part(1), _SAME), P=lambda p: p.use(0)),
        _two_saved,
        faults=(),
    ),
    Setting(
        "a zombie, its successor and a person",
        _cast(A=_of(0, _saves("t11")), B=_of(1, _resumes("t12")), P=lambda p: p.use(0)),
        _two_saved,
    ),
    Setting(
        "three attempts",
        _cast(A=_of(0, _saves("t11")), B=_of(1, _saves("t12")), C=_of(2, _resumes("t13"))),
        _two_saved,
    ),
]
