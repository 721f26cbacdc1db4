"""Each thing that happens is one event: one line of the log with its fields, and one call of each hook."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest

import ckptptr
from ckptptr import Event, Retention, Verdict, events
from ckptptr.lifetime.background import Background
from ckptptr.logs import formatter
from ckptptr.protocol.publish import Standing
from ckptptr.testing import Fault
from tests.helpers import PLAIN, Process, World

PAGE = Path(__file__).parents[1] / "docs/events.md"
NODE = f"memory://{PLAIN}"
ONE = Retention(keep_last=1)
NO_ANSWER = "store-unavailable"

RELEASED_NAMES = (
    *("save", "restore", "adopt", "forward-copy", "sweep", "orphan-search", "conflict", "retry", "refusal"),
    "preemption",
)
RELEASED_FIELDS = (
    *("name", "node", "attempt", "checkpoint", "step", "bytes", "seconds", "requests", "verdict", "error"),
)
"""What programs may rely on: add to it, and take nothing away."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def told() -> Iterator[list[Event]]:
    """What a hook is told."""
    heard: list[Event] = []
    remove = ckptptr.on_event(heard.append)
    yield heard
    remove()


# The page


def rows(heading: str) -> dict[str, str]:
    """The table below a heading of the page: the name in the first cell, and the other cells."""
    text = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", text, re.MULTILINE))


def test_the_page_lists_the_names_and_fields_of_the_code_and_all_that_were_ever_released() -> None:
    assert tuple(rows("Names")) == get_args(events.Name)
    assert tuple(rows("Fields")) == events.FIELDS
    assert get_args(events.Name)[: len(RELEASED_NAMES)] == RELEASED_NAMES
    assert events.FIELDS[: len(RELEASED_FIELDS)] == RELEASED_FIELDS


def test_the_page_lists_the_verdicts_of_the_code() -> None:
    verdicts = {
        name: re.findall(r"`([a-z]+)`", cells.rpartition("|")[2]) for name, cells in rows("Names").items()
    }
    assert verdicts["save"] == [*(standing.name.lower() for standing in Standing), "abandoned"]
    assert verdicts["restore"] == [verdict.name.lower() for verdict in Verdict]


# What happens


def two_saves(world: World) -> Process:
    run = world.process(0)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    return run


def a_save(world: World) -> None:
    two_saves(world)


def a_save_beside_a_hold(world: World) -> None:
    run = two_saves(world)
    world.person().use(world.named()[1])
    run.save({"model": "3"}, step=3)


def a_save_that_fails(world: World) -> None:
    world.process(0, Fault(op="upload", times=None)).save({"model": "1"}, step=1)


def a_save_of_a_zombie(world: World) -> None:
    run = two_saves(world)
    world.process(1).save({"model": "x"})
    run.save({"model": "3"}, step=3)


def a_save_in_parts(world: World) -> None:
    ranks = [world.process(0, incarnation="round").checkpoints.parts(rank, 2) for rank in (0, 1)]
    ranks[1].contribute(world.folder({"b": "22"}), step=1)
    ranks[0].save(world.folder({"a": "1"}), step=1)


def a_save_in_parts_that_another_rank_does_not_finish(world: World) -> None:
    run = world.process(0, incarnation="round")
    run.checkpoints.parts(0, 2, deadline=1).save(world.folder({"a": "1"}), step=1, block=False).result(20)


def a_fresh_start(world: World) -> None:
    world.process(0).restore()


def a_restore(world: World) -> None:
    two_saves(world)
    world.process(1).restore()


def a_restore_of_one(world: World) -> None:
    two_saves(world)
    world.process(1).restore(checkpoint=world.named()[1])


def a_file_that_is_opened(world: World) -> None:
    two_saves(world)
    world.process(1).checkpoints.open("model").close()


def a_restore_that_fails(world: World) -> None:
    world.process(0, Fault(op="read", times=None)).restore()


def a_choice(world: World) -> None:
    two_saves(world)
    world.person().use(world.named()[1])
    world.process(1).restore()


def a_lost_latest(world: World) -> None:
    two_saves(world)
    world.delete_latest()
    world.process(1).restore()


def a_copy_that_fails(world: World) -> None:
    two_saves(world)
    world.delete_latest()
    run = world.process(1, Fault(op="copy", times=None), background=Background())  # type: ignore[arg-type]
    run.restore()
    run.checkpoints.close()


def a_sweep(world: World) -> None:
    run = world.process(0, retention=ONE)
    for step in (1, 2, 3):
        run.save({"model": "x" * step}, step=step)


def a_sweep_of_a_damaged_home(world: World) -> None:
    run = world.process(0, retention=ONE)
    for step in (1, 2):
        run.save({"model": str(step)}, step=step)
    world.store.upload(world.key_of(world.named()[0]), [b"{"])
    run.save({"model": "3"}, step=3)


def a_search_that_fails(world: World) -> None:
    run = world.process(0, background=Background())  # type: ignore[arg-type]
    run.after("create", "LATEST", lambda: run.fail(Fault(op="list", times=None)))
    run.save({"model": "1"})
    run.checkpoints.close()


def a_rank_that_is_faster(world: World) -> None:
    run, other = two_saves(world), world.process(0)
    run.before("replace", "LATEST", lambda: other.save({"optimizer": "3"}))
    run.save({"model": "3"}, step=3)


def a_request_that_fails(world: World) -> None:
    two_saves(world)
    world.process(1, Fault(op="read")).restore()


def a_swap_that_fails(world: World) -> None:
    run = two_saves(world)
    run.fail(Fault(op="replace"))
    run.save({"model": "3"})


def a_commit_that_fails(world: World) -> None:
    world.process(0, Fault(op="create", key="manifests")).save({"model": "1"})


def a_damaged_file(world: World) -> None:
    two_saves(world)
    world.store.upload(world.objects_of(world.named()[0])[0], [b"?"])
    world.process(1).restore()


def a_missing_manifest(world: World) -> None:
    two_saves(world)
    world.store.delete([world.key_of(world.named()[0])])
    world.process(1).restore()


def a_damaged_latest(world: World) -> None:
    two_saves(world)
    world.write('{"checkpoint": ')
    world.process(1).restore()


def a_preemption(world: World) -> None:
    run = world.process(0)
    with run.checkpoints.on_preemption(lambda: run.save({"model": "1"}, step=1)):
        signal.raise_signal(signal.SIGTERM)


def a_preemption_without_a_save(world: World) -> None:
    with world.process(0).checkpoints.on_preemption():
        signal.raise_signal(signal.SIGTERM)


def a_preemption_whose_save_fails(world: World) -> None:
    run = world.process(0, Fault(op="upload", times=None))
    with run.checkpoints.on_preemption(lambda: run.save({"model": "1"}, step=1)):
        signal.raise_signal(signal.SIGTERM)


def a_preemption_that_is_too_short(world: World) -> None:
    run, abandoned, ended = world.process(0), threading.Event(), threading.Event()
    run.before("upload", "", lambda: abandoned.wait(10))

    def last_save() -> None:
        try:
            run.save({"model": "1"}, step=1)
        finally:
            ended.set()

    try:
        with run.checkpoints.on_preemption(last_save, deadline=0.1):
            signal.raise_signal(signal.SIGTERM)
    finally:  # the block raises
        abandoned.set()
        assert ended.wait(10)  # else what it tells at its end reaches the next test


INFO, WARNING = logging.INFO, logging.WARNING
EVENTS: list[tuple[Callable[[World], None], str, int, dict[str, object]]] = [
    (a_save, "save", INFO, {"verdict": "target", "step": 2, "bytes": 1, "requests": 3}),
    (a_save_beside_a_hold, "save", WARNING, {"verdict": "held", "step": 3}),
    (a_save_that_fails, "save", WARNING, {"error": NO_ANSWER, "requests": 3}),
    (a_save_of_a_zombie, "save", WARNING, {"error": "superseded", "attempt": 0}),
    (a_save_in_parts, "save", INFO, {"verdict": "target", "step": 1, "bytes": 3}),
    (a_save_in_parts_that_another_rank_does_not_finish, "save", WARNING, {"error": "incomplete"}),
    (a_fresh_start, "restore", INFO, {"verdict": "fresh", "bytes": 0, "step": None}),
    (a_restore, "restore", INFO, {"verdict": "pointer", "step": 2, "bytes": 1, "requests": 3, "attempt": 1}),
    (a_restore_of_one, "restore", INFO, {"verdict": "pointer", "step": 1, "bytes": 1}),
    (a_file_that_is_opened, "restore", INFO, {"verdict": "pointer", "step": 2, "bytes": 0}),
    (a_restore_that_fails, "restore", WARNING, {"error": NO_ANSWER, "requests": 5}),
    (a_choice, "adopt", INFO, {"verdict": "pointer", "step": 1, "attempt": 1}),
    (a_lost_latest, "restore", INFO, {"verdict": "walkback", "step": 2}),
    (a_lost_latest, "forward-copy", INFO, {"step": 2, "bytes": 1}),
    (a_copy_that_fails, "forward-copy", WARNING, {"error": NO_ANSWER, "requests": 5, "attempt": 1}),
    (a_sweep, "sweep", INFO, {"bytes": 1}),
    (a_sweep_of_a_damaged_home, "sweep", WARNING, {"error": "damaged"}),
    (a_search_that_fails, "orphan-search", WARNING, {"error": NO_ANSWER, "requests": 6}),
    (a_rank_that_is_faster, "conflict", INFO, {"error": "conflict", "attempt": 0}),
    (a_request_that_fails, "retry", WARNING, {"error": NO_ANSWER, "attempt": 1}),
    (a_swap_that_fails, "retry", INFO, {"error": NO_ANSWER}),
    (a_commit_that_fails, "retry", WARNING, {"error": NO_ANSWER}),
    (a_damaged_file, "refusal", WARNING, {"error": "damaged", "attempt": 1}),
    (a_missing_manifest, "refusal", WARNING, {"error": "not-found"}),
    (a_damaged_latest, "refusal", WARNING, {"error": "damaged", "checkpoint": None}),
    (a_preemption, "preemption", WARNING, {"verdict": "confirmed", "error": "preempted"}),
    (a_preemption_without_a_save, "preemption", WARNING, {"verdict": "nothing"}),
    (a_preemption_whose_save_fails, "preemption", WARNING, {"verdict": "failed"}),
    (a_preemption_that_is_too_short, "preemption", WARNING, {"verdict": "abandoned"}),
]


@pytest.mark.parametrize(
    ("story", "name", "level", "fields"),
    EVENTS,
    ids=[f"{story.__name__}-{name}" for story, name, *_ in EVENTS],
)
def test_what_happens_is_one_event_with_its_fields(
    world: World,
    told: list[Event],
    caplog: pytest.LogCaptureFixture,
    story: Callable[[World], None],
    name: str,
    level: int,
    fields: dict[str, object],
) -> None:
    with caplog.at_level(INFO, "ckptptr"), suppress(ckptptr.CkptptrError):
        story(world)
    *_, event = (event for event in told if event.name == name)
    assert {field: getattr(event, field) for field in fields} == fields
    assert (event.level, event.node) == (level, NODE)
    named = name in {"save", "restore", "adopt", "forward-copy", "sweep"} and event.error is None
    assert (event.checkpoint is not None) == (
        (named and event.verdict != "fresh") or "not restoring" in event.message
    )
    # The log says the same, of the same things, and none of them twice.
    logged = [
        (r.levelno, r.getMessage(), vars(r)["ckptptr"]) for r in caplog.records if hasattr(r, "ckptptr")
    ]
    told_fields = [{f: getattr(e, f) for f in events.FIELDS if getattr(e, f) is not None} for e in told]
    assert logged == [(e.level, e.message, told_of) for e, told_of in zip(told, told_fields, strict=True)]
    assert len(caplog.messages) == len(set(caplog.messages))


def test_the_stories_have_every_name() -> None:
    assert {name for _, name, *_ in EVENTS} == {*get_args(events.Name)}


def test_a_save_and_its_sweep_count_their_own_requests_on_whatever_threads(
    world: World, told: list[Event]
) -> None:
    run = world.process(0, retention=ONE, background=Background())  # type: ignore[arg-type]
    for step in (1, 2):
        run.save({"a": str(step)}, step=step)
        run.checkpoints.wait()
    for step in (3, 4):
        told.clear()
        with run.requests() as requests:
            run.save({name: str(step) for name in "abcdefghij"}, step=step)
            run.checkpoints.wait()
        save, sweep = sorted(told, key=lambda event: event.name)
        writes = [request for request in requests if request.split()[0] in {"upload", "create", "replace"}]
        assert (save.requests, sweep.requests) == (len(writes), len(requests) - len(writes))
        assert (save.step, save.bytes, sweep.bytes) == (step, 10, 1)  # what it deletes is two saves old


# Hooks


def test_a_hook_that_fails_harms_no_save_and_is_warned_about_once(
    world: World, told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(event: Event) -> None:
        raise ZeroDivisionError(event.name)

    remove = ckptptr.on_event(fails)
    after: list[Event] = []
    remove_after = ckptptr.on_event(after.append)
    run = two_saves(world)
    remove()
    run.save({"model": "3"}, step=3)
    remove_after()
    remove()  # again: nothing happens
    assert world.steps() == [3, 2, 1]
    assert [event.step for event in told if event.name == "save"] == [1, 2, 3]
    assert after == told
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == WARNING]
    assert "fails of on_event failed" in warning
    assert "ZeroDivisionError('save')" in warning


def test_what_a_hook_itself_causes_is_not_told_to_hooks(
    world: World, told: list[Event], tmp_path: Path
) -> None:
    other = World(tmp_path / "other")
    remove = ckptptr.on_event(lambda event: other.process(0).checkpoints.save(event.message.encode()))
    (tmp_path / "other").mkdir()
    two_saves(world)
    remove()
    assert [event.node for event in told] == [NODE, NODE]
    assert len(other.committed()) == 2


def test_the_bug_of_another_has_no_words_in_an_event_since_they_may_have_a_secret(told: list[Event]) -> None:
    with pytest.raises(RuntimeError), events.Watch("save", NODE):
        raise RuntimeError("https://user:secret@host")
    (event,) = told
    assert event.error == "error"
    assert event.message.endswith(": RuntimeError")


def test_what_is_in_a_message_cannot_forge_a_line(
    told: list[Event], caplog: pytest.LogCaptureFixture
) -> None:
    events.emit(Event("retry", "one\ntwo", level=WARNING))
    assert told[0].message == "one\\ntwo" == caplog.messages[0]


# JSON lines

PROGRAM = """
import logging, sys
import ckptptr
with ckptptr.open(sys.argv[1], attempt=0) as checkpoints:
    checkpoints.save(b"state", step=1)
logging.getLogger("ckptptr").warning("no event\\nat all")
"""


def run_program(tmp_path: Path, before: str = "", **environ: str) -> list[str]:
    command = [sys.executable, "-c", before + PROGRAM, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return done.stderr.splitlines()


def test_a_program_that_asks_for_json_gets_one_object_a_line_with_flytekits_keys(tmp_path: Path) -> None:
    save, other = map(json.loads, run_program(tmp_path, CKPTPTR_LOG="json"))
    assert list(save) == ["asctime", "name", "levelname", "message", "ckptptr"]
    assert (save["name"], save["levelname"]) == ("ckptptr", "INFO")
    assert save["message"].startswith("saved step 1, checkpoint ")
    assert {*save["ckptptr"]} == {*RELEASED_FIELDS} - {"error"}
    assert save["ckptptr"]["node"] == str(tmp_path / "run")
    assert other["message"] == "no event\\nat all"
    assert list(other) == ["asctime", "name", "levelname", "message"]


@pytest.mark.pythons
def test_a_program_that_asks_for_text_gets_lines_and_one_that_asks_for_nothing_warnings(
    tmp_path: Path,
) -> None:
    asked = run_program(tmp_path / "a", CKPTPTR_LOG="text")
    assert [line.partition(",")[0] for line in asked] == [
        "ckptptr: saved step 1",
        "ckptptr: no event\\nat all",
    ]
    assert run_program(tmp_path / "b") == ["no event\\nat all"]
    assert run_program(tmp_path / "c", FLYTE_SDK_LOGGING_FORMAT="json") == ["no event\\nat all"]


def test_a_program_that_has_set_up_logging_itself_keeps_its_form_and_gets_the_fields(tmp_path: Path) -> None:
    before = "import logging; logging.basicConfig(format='%(levelname)s %(ckptptr)s', level='INFO')\n"
    before += "logging.getLogger('ckptptr').addFilter(lambda record: hasattr(record, 'ckptptr'))\n"
    (line,) = run_program(tmp_path, before, CKPTPTR_LOG="json")
    assert line.startswith("INFO {'name': 'save', 'node': ")


@pytest.mark.parametrize(
    ("environ", "is_json"),
    [
        ({}, False),
        ({"FORMAT": "json"}, True),
        ({"FORMAT": "console"}, False),
        ({"FORMAT": "json", "CKPTPTR_LOG": "text"}, False),
        ({"FORMAT": "console", "CKPTPTR_LOG": "JSON"}, True),
    ],
)
def test_our_own_variable_decides_and_without_it_that_of_the_platform(
    environ: dict[str, str], is_json: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORMAT", "CKPTPTR_LOG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    record = logging.makeLogRecord({"msg": "told", "levelname": "INFO", "name": "ckptptr"})
    line = formatter("text %(message)s", "FORMAT").format(record)
    assert (line == "text told") is not is_json
    assert line.endswith('"message": "told"}') is is_json
