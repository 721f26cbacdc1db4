"""The story by the real `a0`: an unchanged task of Flyte 2 resumes, however many attempts left nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.flyte2.places import COUNTED_ON, IN_SAVE_4, Place, only_flyte

pytestmark = [pytest.mark.servers, pytest.mark.pythons]  # all of it runs a0


def test_attempt_4_resumes_from_the_last_whole_checkpoint_of_attempt_1_without_a_list(on_disk: Place) -> None:
    on_disk.three_deaths()
    last = on_disk.action.run(4)
    assert last.outputs == COUNTED_ON, last.log
    operations = [operation for operation, _ in last.requests]
    # LATEST, the manifest, the payload; the list belongs to the first save, which looks for ids.
    assert operations[: operations.index("upload")] == ["read", "read", "download", "list"]
    assert "does not know this layout" not in last.log
    assert on_disk.pointer()["attempt"] == 4


def test_with_latest_deleted_the_walk_back_finds_it_and_copies_it_forward(on_disk: Place) -> None:
    on_disk.three_deaths()
    on_disk.store.delete([on_disk.latest])
    last = replace(on_disk.action, inputs={"n": 3}).run(4)
    assert last.outputs == {"o0": "counted from 3 to 3"}, last.log
    assert "the walk-back through earlier attempts" in last.log
    assert "copied forward into" in last.log
    # The prefix of attempt 1 may expire now.
    on_disk.store.delete(on_disk.keys(on_disk.home(1)))
    assert on_disk.action.run(5).outputs == COUNTED_ON


def test_a_person_chooses_an_older_checkpoint_and_the_next_attempt_resumes_from_it(on_disk: Place) -> None:
    assert on_disk.action.run(1, IN_SAVE_4).signal == 9
    second = next(entry for entry in on_disk.pointer()["history"] if entry["seq"] == 2)
    on_disk.put_latest(second["checkpoint"])
    last = on_disk.action.run(2)
    assert last.outputs == {"o0": "counted from 2 to 8"}, last.log
    assert "where a person chose it" in last.log


def test_a_preemption_keeps_the_attempt_and_its_new_pod_resumes_from_its_own_home(on_disk: Place) -> None:
    assert on_disk.action.run(1, IN_SAVE_4).signal == 9
    on_disk.store.delete([on_disk.latest])
    again = on_disk.action.run(1)
    assert again.outputs == COUNTED_ON, again.log


def test_with_ckptptr_disabled_the_sdk_is_stock_and_begins_again_in_silence(on_disk: Place) -> None:
    """Attempt 2 left nothing, and attempt 3 is only told of attempt 2."""
    stock = replace(on_disk.action, environ={"CKPTPTR_DISABLE": "1"})
    assert stock.run(1).outputs == {"o0": "counted from 0 to 8"}
    third = stock.run(3)
    assert third.outputs == {"o0": "counted from 0 to 8"}
    assert "ckptptr" not in third.log


def test_an_unfit_setting_is_final_and_names_itself(on_disk: Place) -> None:
    ended = on_disk.action.run(1, CKPTPTR_KEEP_LAST="three")
    assert ended.kind == "NON_RECOVERABLE"
    assert "CKPTPTR_KEEP_LAST is 'three'" in ended.error


def test_a_latest_of_a_newer_version_is_left_alone_and_flyte_retries(on_disk: Place) -> None:
    assert on_disk.action.run(1, IN_SAVE_4).signal == 9
    newer = on_disk.store.read(on_disk.latest)[0].decode().replace("ckptptr/1", "ckptptr/2")
    on_disk.put_latest(newer)
    ended = on_disk.action.run(2)
    assert (ended.kind, ended.exit_code) == ("RECOVERABLE", 0), ended.log
    assert "written in format ckptptr/2, this version reads ckptptr/1" in ended.error
    assert on_disk.store.read(on_disk.latest)[0].decode() == newer


@pytest.mark.parametrize("asked", ["CKPTPTR_LOG", "LOG_FORMAT"])
def test_a_pod_that_is_asked_for_json_tells_each_event_as_one_object(on_disk: Place, asked: str) -> None:
    log = on_disk.action.run(1, **{asked: "json"}).log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"asctime"')]
    told = [line["ckptptr"] for line in lines if "ckptptr" in line]
    assert [event["name"] for event in told if event["name"] != "sweep"] == ["restore", *["save"] * 8]
    assert {event["node"] for event in told} == {on_disk.action.prefix}
    assert "ckptptr: " not in log


def test_all_of_it_in_one_life_on_every_cloud_with_nothing_but_flyte(cloud: Place, tmp_path: Path) -> None:
    """obstore does it all, with Flyte's own settings. What flytekit, the filesystems of clouds and their SDKs
    bring cannot be imported."""
    cloud.three_deaths()
    alone = replace(cloud.action, folder=str(only_flyte(tmp_path / "alone")))
    last = alone.run(4)
    assert last.outputs == COUNTED_ON, last.log
    assert cloud.pointer()["attempt"] == 4
    cloud.store.delete([cloud.latest])
    walked = alone.run(5)
    assert walked.outputs == {"o0": "counted from 8 to 8"}, walked.log
    assert "the walk-back through earlier attempts" in walked.log
    for secret in cloud.secrets:
        assert secret not in last.log + walked.log
