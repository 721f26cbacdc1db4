"""The events of a real pod: its log as text and as JSON lines, and a hook in the module of a task."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from tests.flyte.places import COUNTED_ON, EXAMPLES, IN_THE_MIDDLE_OF_SAVE_4, Place
from tests.flyte.stepping import TASKS

pytestmark = [pytest.mark.servers, pytest.mark.pythons, pytest.mark.flytekit]  # it runs pyflyte-execute


def events(log: str) -> list[dict[str, Any]]:
    """Those of a log of JSON lines."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"asctime"')]
    assert all(line["name"] == "ckptptr" for line in lines)
    return [line["ckptptr"] for line in lines if "ckptptr" in line]


@pytest.mark.parametrize("asked", ["CKPTPTR_LOG", "FLYTE_SDK_LOGGING_FORMAT"])
def test_a_pod_that_is_asked_for_json_tells_each_event_as_one_object(on_disk: Place, asked: str) -> None:
    first = on_disk.node.run(0, IN_THE_MIDDLE_OF_SAVE_4, **{asked: "json"})
    assert [(e["name"], e["verdict"]) for e in events(first.log)] == [
        ("restore", "fresh"),
        *[("save", "target")] * 3,
    ]
    on_disk.store.delete([on_disk.latest])
    last = on_disk.node.run(1, **{asked: "json"})
    assert last.outputs == COUNTED_ON, last.log
    adopt, restore, *later = events(last.log)
    assert (adopt["name"], restore["name"]) == ("adopt", "restore")
    assert (restore["verdict"], restore["bytes"]) == ("walkback", 1)
    assert {event["name"] for event in later} >= {"save", "sweep"}
    assert {event["node"] for event in (adopt, restore, *later)} == {on_disk.node.prefix}
    assert {event["attempt"] for event in (adopt, restore, *later)} == {1}
    assert "ckptptr: " not in last.log


def test_a_pod_that_is_asked_for_nothing_writes_text(on_disk: Place) -> None:
    log = on_disk.node.run(0).log
    assert "ckptptr: saved checkpoint " in log
    assert events(log) == []


def test_a_hook_in_the_module_of_a_task_hears_all_of_it_and_harms_nothing(
    on_disk: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{EXAMPLES}:{os.environ.get('PYTHONPATH', '')}")
    listened = replace(on_disk.node, module="listened", folder=str(TASKS), inputs={"n": 2})
    done = listened.run(0)
    assert done.outputs == {"o0": "counted from 0 to 2"}, done.log
    heard = [line.split()[1:] for line in done.log.splitlines() if line.startswith("heard ")]
    assert [(name, verdict) for name, verdict, *_ in heard] == [
        ("restore", "fresh"),
        ("save", "target"),
        ("save", "target"),
    ]
    assert heard[-1] == ["save", "target", "0", "3"]  # the payload, the manifest, LATEST
    assert done.log.count("the hook hear of on_event failed, and this is said once") == 1
