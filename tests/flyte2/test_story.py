"""The story by the real `a0`: an unchanged task of Flyte 2 resumes, however many attempts left nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ckptptr.errors import SupersededError
from tests.flyte2.places import COUNTED_ON, Place, attempt_of, only_flyte

pytestmark = [pytest.mark.servers, pytest.mark.pythons]  # all of it runs a0


def test_attempt_4_resumes_from_the_last_whole_checkpoint_of_attempt_1_without_a_list(torn: Place) -> None:
    last = torn.action.run(4)
    assert last.outputs == COUNTED_ON, last.log
    operations = [operation for operation, _ in last.requests]
    # LATEST, the manifest, the payload; the list belongs to the first save, which looks for ids.
    assert operations[: operations.index("upload")] == ["read", "read", "download", "list"]
    assert "does not know this layout" not in last.log
    assert torn.pointer()["attempt"] == 4


def test_with_latest_deleted_the_walk_back_finds_it_and_copies_it_forward(torn: Place) -> None:
    torn.store.delete([torn.latest])
    last = replace(torn.action, inputs={"n": 3}).run(4)
    assert last.outputs == {"o0": "counted from 3 to 3"}, last.log
    assert "the walk-back through earlier attempts" in last.log
    assert "copied forward into" in last.log
    # The prefix of attempt 1 may expire now.
    torn.store.delete(torn.keys(torn.home(1)))
    assert torn.action.run(5).outputs == COUNTED_ON


def test_a_person_chooses_an_older_checkpoint_and_the_next_attempt_resumes_from_it(torn: Place) -> None:
    second = next(entry for entry in torn.pointer()["history"] if entry["seq"] == 2)
    torn.put_latest(second["checkpoint"])
    last = torn.action.run(4)
    assert last.outputs == {"o0": "counted from 2 to 8"}, last.log
    assert "where a person chose it" in last.log


def test_a_preemption_keeps_the_attempt_and_its_new_pod_resumes_from_its_own_home(torn: Place) -> None:
    torn.store.delete([torn.latest])
    again = torn.action.run(1)
    assert again.outputs == COUNTED_ON, again.log


def test_with_ckptptr_disabled_the_sdk_is_stock_and_begins_again_in_silence(torn: Place) -> None:
    """Attempts 2 and 3 left nothing, and attempt 4 is only told of attempt 3."""
    before = torn.store.read(torn.latest)
    stock = torn.action.run(4, CKPTPTR_DISABLE="1")
    assert stock.outputs == {"o0": "counted from 0 to 8"}
    assert "ckptptr" not in stock.log
    assert torn.store.read(torn.latest) == before


def test_a_latest_of_a_newer_version_is_left_alone_and_flyte_retries(torn: Place) -> None:
    newer = torn.store.read(torn.latest)[0].decode().replace("ckptptr/1", "ckptptr/2")
    torn.put_latest(newer)
    ended = torn.action.run(4)
    assert (ended.kind, ended.exit_code) == ("RECOVERABLE", 0), ended.log
    assert "written in format ckptptr/2, this version reads ckptptr/1" in ended.error
    assert torn.store.read(torn.latest)[0].decode() == newer


@pytest.mark.parametrize("asked", ["CKPTPTR_LOG", "LOG_FORMAT"])
def test_a_pod_that_is_asked_for_json_tells_each_event_as_one_object(on_disk: Place, asked: str) -> None:
    log = on_disk.action.run(1, **{asked: "json"}).log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"asctime"')]
    told = [line["ckptptr"] for line in lines if "ckptptr" in line]
    assert [event["name"] for event in told if event["name"] != "sweep"] == ["restore", *["save"] * 8]
    assert {event["node"] for event in told} == {on_disk.action.prefix}
    assert "ckptptr: " not in log


def test_all_of_it_in_one_life_on_every_cloud_with_nothing_but_flyte(
    cloud: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore does it all, with Flyte's own settings. What flytekit, the filesystems of clouds and their SDKs
    bring cannot be imported."""
    cloud.three_deaths()
    alone = replace(cloud.action, folder=str(only_flyte(tmp_path / "alone")), inputs={"n": 5})
    fourth = alone.run(4)
    assert fourth.outputs == {"o0": "counted from 3 to 5"}, fourth.log
    assert cloud.pointer()["attempt"] == 4
    cloud.store.delete([cloud.latest])
    walked = replace(alone, inputs={"n": 8}).run(5)
    assert walked.outputs == {"o0": "counted from 5 to 8"}, walked.log
    assert "the walk-back through earlier attempts" in walked.log
    for secret in cloud.secrets:
        assert secret not in fourth.log + walked.log

    for name, value in cloud.action.environ.items():
        monkeypatch.setenv(name, value)
    cloud.put_latest(cloud.pointer()["history"][0]["checkpoint"])  # the one before the last
    sixth, seventh = attempt_of(cloud.action, 6), attempt_of(cloud.action, 7)
    loaded = sixth.load_sync()
    assert loaded is not None
    assert loaded.read_text() == "7"
    sixth.save_sync(b"of attempt 6")
    loaded = seventh.load_sync()
    assert loaded is not None
    assert loaded.read_bytes() == b"of attempt 6"
    newest = seventh.save_sync(b"of attempt 7")
    with pytest.raises(SupersededError):
        sixth.save_sync(b"of a zombie")
    assert seventh.latest == newest
    for attempt in (sixth, seventh):
        attempt.close()
