"""The hooks for OpenTelemetry and Prometheus, run as their texts say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.examples.texts import bash, commands

pytestmark = pytest.mark.slow  # they need the packages of the examples


def printed(example: str, folder: Path) -> str:
    (command,) = commands(example)
    return bash(command.replace("/tmp/", f"{folder}/"))


def test_a_restore_and_each_save_are_spans_of_the_training(tmp_path: Path) -> None:
    told = printed("opentelemetry_events.py", tmp_path)
    restore, *saves, training = (json.loads(span) for span in re.findall(r"^\{.*?^\}", told, re.M | re.S))
    assert [span["name"] for span in (restore, *saves, training)] == ["restore", "save", "save", "training"]
    assert {span["parent_id"] for span in (restore, *saves)} == {training["context"]["span_id"]}
    assert [span["attributes"]["ckptptr.step"] for span in saves] == [1, 2]
    assert [span["attributes"]["ckptptr.bytes"] for span in saves] == [7, 7]
    assert training["start_time"] < restore["start_time"] < saves[0]["start_time"] < saves[0]["end_time"]
    assert restore["attributes"]["ckptptr.verdict"] == "fresh"
    assert str(tmp_path / "traced") == restore["attributes"]["ckptptr.node"]


def test_prometheus_gets_counts_times_and_bytes(tmp_path: Path) -> None:
    told = printed("prometheus_events.py", tmp_path)
    metrics = dict(line.rsplit(" ", 1) for line in told.splitlines() if line.startswith("ckptptr_"))
    assert metrics['ckptptr_events_total{error="",name="save",verdict="target"}'] == "2.0"
    assert metrics['ckptptr_events_total{error="",name="restore",verdict="fresh"}'] == "1.0"
    assert metrics['ckptptr_seconds_count{name="save"}'] == "2.0"
    assert metrics['ckptptr_bytes_total{name="save"}'] == "14.0"
    assert float(metrics["ckptptr_last_save_timestamp_seconds"]) > 1.7e9
