"""The deck "Checkpoints": there where decks are enabled, and never a danger to the task."""

from __future__ import annotations

import logging
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flytekit.core.context_manager import ExecutionParameters, FlyteContextManager
from flytekit.deck.deck import Deck, _get_deck

from ckptptr.checkpoints import Checkpoints
from ckptptr.flyte import checkpoint as checkpoint_of_task
from ckptptr.flyte.deck import NAME, CheckpointsDeck, add_deck
from ckptptr.flyte.pointer_checkpoint import PointerCheckpoint
from ckptptr.testing.attempts import Fault, SimulatedNode
from tests.helpers import World
from tests.report.browser import Browser

tells_of_decks = pytest.mark.skipif(
    not hasattr(ExecutionParameters, "enable_deck"), reason="flytekit before 1.15 shows no deck of ours"
)
BEFORE_SAVE_4 = Fault("kill", op="upload", nth=4, when="before")


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return World(tmp_path).process(0).checkpoints


def deck_of(checkpoints: Checkpoints, **options: float) -> CheckpointsDeck:
    made = PointerCheckpoint("home", None, lambda: checkpoints)
    assert made.checkpoints is checkpoints
    return CheckpointsDeck(made, **options)


def test_it_is_drawn_when_it_is_asked_for(checkpoints: Checkpoints) -> None:
    deck = deck_of(checkpoints)
    checkpoints.save(b"1", step=1)
    checkpoints.save(b"2", step=2)
    assert "started fresh, and saved 2 checkpoints" in deck.html
    checkpoints.save(b"3", step=3)
    assert "saved 3 checkpoints" in deck.html
    assert deck.html.count('<g class="dot ') == 4  # and the next attempt


@pytest.mark.slow
def test_templates_are_loaded_when_a_deck_is_drawn_and_not_before() -> None:
    code = "import sys, ckptptr, flytekit, ckptptr.flyte.deck; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_its_workers_did_is_told_by_a_process_that_used_no_checkpoint_itself(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.process(0).save_bytes(b"1", step=1)
    worker = world.process(1)
    worker.restore()
    worker.save_bytes(b"2", step=2)
    html = deck_of(world.process(1).checkpoints).html
    assert "Attempt 1 resumed from step 1 of attempt 0." in html


def test_a_task_that_did_nothing_with_it_has_a_deck_that_says_so(checkpoints: Checkpoints) -> None:
    html = deck_of(checkpoints).html
    assert "Attempt 0 did not restore." in html
    assert "The next attempt starts fresh." in html


def test_a_store_that_fails_is_one_warning_and_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = World(tmp_path).process(0)
    process.checkpoints.save(b"1")
    deck = deck_of(process.checkpoints)
    process.fail(Fault("fail", times=1000))
    with caplog.at_level(logging.WARNING, "ckptptr"):
        assert "cannot be shown" in deck.html
    assert len([record for record in caplog.records if "deck" in record.message]) == 1


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Set at the end of the test, which ends what hangs in it."""
    event = threading.Event()
    yield event
    event.set()


def test_a_store_that_hangs_is_left_behind(tmp_path: Path, stuck: threading.Event) -> None:
    process = World(tmp_path).process(0)
    process.checkpoints.save(b"1")
    process.before("list", "", lambda: stuck.wait(30))
    assert "cannot be shown: no answer within 0 s" in deck_of(process.checkpoints, patience=0.05).html


def test_what_the_task_appends_comes_below(checkpoints: Checkpoints) -> None:
    deck = deck_of(checkpoints)
    deck.append("<p>mine</p>")
    assert deck.html.endswith("<p>mine</p>")


def test_it_goes_to_another_process_as_it_is(checkpoints: Checkpoints) -> None:
    checkpoints.save(b"1", step=1)
    deck = deck_of(checkpoints)
    arrived = pickle.loads(pickle.dumps(deck))  # noqa: S301 - our own
    assert type(arrived) is Deck
    assert (arrived.name, arrived.html.count("<svg")) == (NAME, 1)


def test_there_is_one_of_its_name_however_often_it_is_added(checkpoints: Checkpoints) -> None:
    made = PointerCheckpoint("home", None, lambda: checkpoints)
    found: list[Any] = []
    add_deck(found, made)
    add_deck(found, made)
    assert [deck.name for deck in found] == [NAME]


@tells_of_decks
@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_there_where_decks_are_enabled(enabled: bool, tmp_path: Path) -> None:
    from flytekit.core.checkpointer import SyncCheckpoint

    context = FlyteContextManager.current_context()
    builder = context.user_space_params.builder()
    builder.checkpoint, builder.decks = SyncCheckpoint(str(tmp_path)), []
    parameters = builder.build().with_enable_deck(enabled).build()
    state = context.execution_state.with_params(user_space_params=parameters)
    with FlyteContextManager.with_context(context.with_execution_state(state)):
        checkpoint_of_task().save(b"1")
    assert [deck.name for deck in parameters.decks] == ([NAME] if enabled else [])


def test_a_deck_that_cannot_be_made_costs_the_deck_and_not_the_checkpoint(
    checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
) -> None:
    from ckptptr.flyte.plugin import _with_deck

    class Parameters:
        enable_deck = True
        decks = None  # not iterable

    made = PointerCheckpoint("home", None, lambda: checkpoints)
    assert _with_deck(Parameters(), made) is made
    assert "no deck" in caplog.text


def _node(tmp_path: Path, task: str, **inputs: int) -> SimulatedNode:
    folder = str(Path(__file__).parent)
    return SimulatedNode("deck_task", task, root=f"{tmp_path}/data", folder=folder, inputs=inputs)


def _published(node: SimulatedNode, attempt: int, to: Path, tab: str = NAME) -> Path:
    """A copy of the deck that Flyte shows, opened at a tab."""
    html = Path(node.outputs_at(attempt), "deck.html").read_text()
    click = f"""<script>handleLinkClick([...document.querySelectorAll("#flyte-frame-tabs li")]
        .find(tab => tab.textContent === "{tab}"))</script>"""
    to.write_text(html + click)
    return to


@pytest.mark.servers
@tells_of_decks
def test_a_real_task_that_resumed_shows_it_in_the_deck_that_flyte_publishes(
    tmp_path: Path, browser: Browser
) -> None:
    node = _node(tmp_path, "count_to", n=8)
    assert node.run(0, BEFORE_SAVE_4).signal == 9
    node.die_before_python(1)
    finished = node.run(2)
    assert finished.outputs == {"o0": "counted from 3 to 8"}
    view = browser.look(_published(node, 2, tmp_path / "deck.html"))
    assert re.search(r"Attempt 2 resumed from save 3 of attempt 0 in .* and saved 5 checkpoints\.", view.dom)
    assert view.dom.count('<g class="dot target"') == 1
    assert not view.is_blank
    assert view.console == []
    assert {urlsplit(url).hostname for url in view.requests} == {"fonts.googleapis.com"}  # flytekit's own


@pytest.mark.servers
@tells_of_decks
def test_a_task_that_fails_has_its_deck_too(tmp_path: Path) -> None:
    node = _node(tmp_path, "fail")
    assert "on purpose" in node.run(0).error
    html = Path(node.outputs_at(0), "deck.html").read_text()
    assert "Attempt 0 started fresh, and saved 1 checkpoint." in html


def test_flytekits_template_takes_it_as_it_is(checkpoints: Checkpoints) -> None:
    checkpoints.save(b"1", step=1, metadata={"price": "$BODY_HTML ${NAV_HTML} $$"})

    class Parameters:
        decks = [deck_of(checkpoints)]  # noqa: RUF012

    html = _get_deck(Parameters(), ignore_jupyter=True)
    assert html.count("<svg") == 1
    assert "$BODY_HTML ${NAV_HTML} $$" in html
