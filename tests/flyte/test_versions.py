"""Pods with images of different releases of ckptptr, one after the other, on one node."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.protocol.sealed import seal
from tests.flyte.places import COUNTED_ON, EXAMPLES, Place
from tests.flyte.stepping import TASKS, Stepping, stepping_node

pytestmark = [pytest.mark.servers, pytest.mark.pythons, pytest.mark.flytekit]  # it runs pyflyte-execute


def rewrite(place: Place, key: str, **changes: Any) -> bytes:
    """As another release would have written that document."""
    body = json.dumps(seal({**json.loads(place.store.read(key)[0]), **changes})).encode()
    place.store.upload(key, [body])
    return body


@pytest.mark.parametrize("what", ["LATEST", "the manifest of its target"])
def test_a_newer_major_format_is_a_recoverable_failure_and_a_pod_with_a_newer_image_goes_on(
    killed: Place, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = f"{killed.root}/{killed.pointer()['checkpoint']}"
    key = killed.latest if what == "LATEST" else target
    newer = rewrite(killed, key, format="ckptptr/2")
    before = killed.store.read(killed.latest)

    old = killed.node.run(1)
    assert old.kind == "RECOVERABLE", old.log
    assert "UnsupportedFormatError" in old.error
    assert f"written in format ckptptr/2, this version reads ckptptr/1: {key}. Upgrade ckptptr" in old.error
    assert old.log.count("the restore failed after") == 1
    assert killed.store.read(key)[0] == newer
    assert killed.store.read(killed.latest) == before

    monkeypatch.setenv("PYTHONPATH", f"{EXAMPLES}:{os.environ.get('PYTHONPATH', '')}")
    newer_image = replace(killed.node, module="newer_image", folder=str(TASKS))
    last = newer_image.run(2, FLYTE_INTERNAL_TASK_NAME="counter_task.count_to")
    assert last.outputs == COUNTED_ON, last.log


def test_a_running_task_whose_latest_becomes_newer_fails_recoverably_at_its_next_save(tmp_path: Path) -> None:
    node = stepping_node(tmp_path)
    latest = Path(node.prefix, "LATEST")
    with Stepping(node, 0) as run:
        assert run.answer() == "restored nothing"
        assert run.order("save 1") == "done 1"
        newer = json.dumps(seal({**json.loads(latest.read_bytes()), "format": "ckptptr/2"}))
        latest.write_text(newer)
        run.tell("save 2")
        ended = run.end()
    assert ended.kind == "RECOVERABLE", ended.log
    assert "Upgrade ckptptr" in ended.error
    assert latest.read_text() == newer


def test_an_older_minor_version_in_between_keeps_what_the_newer_one_wrote(killed: Place) -> None:
    entry, *others = killed.pointer()["history"]
    rewrite(
        killed,
        killed.latest,
        format="ckptptr/1.7",
        mood={"of": ["LATEST"]},
        target={"mood": "of step 3"},
        history=[{**entry, "mood": "of step 2"}, *others],
    )
    assert replace(killed.node, inputs={"n": 4}).run(1).outputs == {"o0": "counted from 3 to 4"}
    after = killed.pointer()
    assert (after["format"], after["mood"]) == ("ckptptr/1.7", {"of": ["LATEST"]})
    assert "target" not in after
    assert [entry.get("mood") for entry in after["history"]] == ["of step 3", "of step 2"]
    assert killed.node.run(2).outputs == {"o0": "counted from 4 to 8"}
