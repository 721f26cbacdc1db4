"""The main job, end to end: an unchanged task, the real `pyflyte-execute`, real kills, real stores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.testing.attempts import Attempt, Fault, SimulatedNode
from tests.flyte.places import COUNTED_ON, IN_THE_MIDDLE_OF_SAVE_4, Place

pytestmark = [pytest.mark.servers, pytest.mark.pythons, pytest.mark.flytekit]  # it runs pyflyte-execute


def restored_without_latest(place: Place) -> None:
    """Attempt 3 finds no LATEST, restores by the walk-back, and has nothing left to count and to save."""
    place.store.delete([place.latest])
    last = replace(place.node, inputs={"n": 3}).run(3)
    assert last.outputs == {"o0": "counted from 3 to 3"}, last.log
    assert "copied forward into" in last.log


def before_the_first_upload(attempt: Attempt) -> list[str]:
    operations = [operation for operation, _ in attempt.requests]
    return operations[: operations.index("upload")]


def test_attempt_3_resumes_from_the_last_whole_checkpoint_of_attempt_0_without_a_list(torn: Place) -> None:
    last = torn.node.run(3)
    assert last.outputs == COUNTED_ON, last.log
    restore = before_the_first_upload(last)
    # LATEST, the manifest, the payload; the list belongs to the first save, which looks for ids in its
    # own home. (A custom endpoint is asked before all that whether it keeps its promises.)
    assert restore[-4:] == ["read", "read", "download", "list"]
    assert restore.count("list") == 1


def test_what_the_kill_tore_is_there_and_is_never_restored(killed: Place) -> None:
    home = killed.home(0)
    uploaded = {key.split("/data/")[-1].split("/")[0] for key in killed.keys(f"{home}/data")}
    committed = {Path(key).stem for key in killed.keys(f"{home}/manifests")}
    assert len(uploaded) == 4
    assert len(committed) == 3
    assert committed < uploaded


def test_with_latest_deleted_the_walk_back_finds_it_and_the_forward_copy_makes_a_whole_home(
    torn: Place,
) -> None:
    restored_without_latest(torn)
    pointer = torn.pointer()
    assert pointer["attempt"] == 3
    assert pointer["seq"] == 3
    assert pointer["checkpoint"] == torn.keys(f"{torn.home(3)}/manifests")[0].removeprefix(f"{torn.root}/")
    # The prefix of attempt 0 may expire now: what is left of the node restores all the same.
    torn.store.delete(torn.keys(torn.home(0)))
    last = torn.node.run(4)
    assert last.outputs == COUNTED_ON, last.log


def test_with_latest_and_the_older_homes_gone_the_platforms_previous_checkpoint_is_enough(
    torn: Place,
) -> None:
    restored_without_latest(torn)
    torn.store.delete([torn.latest, *torn.keys(torn.home(0))])
    last = torn.node.run(4)
    assert last.outputs == COUNTED_ON, last.log


@pytest.mark.parametrize("form", ["json", "uri"])  # every form: tests/formats/test_hand_edits.py
def test_a_person_edits_latest_to_an_older_checkpoint_and_the_next_attempt_resumes_from_it(
    torn: Place, form: str
) -> None:
    pointer = torn.pointer()
    newest, oldest = pointer["checkpoint"], pointer["history"][-1]["checkpoint"]
    forms = {
        "json": json.dumps({**pointer, "checkpoint": oldest}, indent=2),
        "uri": torn.store.url(f"{torn.root}/{oldest}"),
    }
    torn.put_latest(forms[form])
    last = torn.node.run(3, Fault("kill", op="upload", nth=1))
    assert last.signal == 9, last.log
    after = torn.pointer()
    assert not after["held"]
    assert after["fence"] == 3
    assert newest in [entry["checkpoint"] for entry in after["history"]]  # what was replaced can be chosen
    assert torn.node.run(4).outputs == {"o0": "counted from 1 to 8"}


def test_all_of_it_in_one_life_on_every_cloud(cloud: Place) -> None:
    """Deaths, a torn save, LATEST lost, a person's choice: as above on a disk, with fewer attempts."""
    cloud.death_in_save_4()
    cloud.two_more_deaths()
    restored_without_latest(cloud)
    assert cloud.pointer()["attempt"] == 3
    assert len(cloud.keys(f"{cloud.home(0)}/manifests")) == 3  # the fourth was torn
    oldest = cloud.pointer()["history"][-1]["checkpoint"]
    cloud.put_latest(f"{oldest}\n")
    assert cloud.node.run(4, Fault("kill", op="upload", nth=1)).signal == 9
    assert (cloud.pointer()["held"], cloud.pointer()["fence"]) == (False, 4)
    last = cloud.node.run(5)
    assert last.outputs == {"o0": "counted from 1 to 8"}, last.log
    assert before_the_first_upload(last)[-4:] == ["read", "read", "download", "list"]


def test_a_person_asks_for_a_fresh_start_and_gets_it(torn: Place) -> None:
    torn.put_latest("none")
    assert torn.node.run(3).outputs == {"o0": "counted from 0 to 8"}


def test_a_store_that_cannot_be_reached_is_no_empty_store_and_flyte_is_asked_to_retry(killed: Place) -> None:
    failed = killed.node.run(1, Fault("fail", op="read", times=1000))
    assert failed.kind == "RECOVERABLE"
    assert "StoreUnavailableError" in failed.error
    assert failed.outputs is None
    assert killed.node.run(2).outputs == COUNTED_ON


def test_an_s3_endpoint_that_does_not_answer_asks_for_a_retry_too(on_s3: Place, s3_proxy: Any) -> None:
    from tests.servers.proxy import Rule

    on_s3.node.run(0, IN_THE_MIDDLE_OF_SAVE_4)
    s3_proxy.add(Rule(path="_ckptptr", status=503, code="SlowDown", times=None))
    failed = on_s3.node.run(1, AWS_MAX_ATTEMPTS="1")  # the SDK's own retries would take a minute
    assert failed.kind == "RECOVERABLE", failed.log
    assert "StoreUnavailableError" in failed.error
    s3_proxy.reset()
    assert on_s3.node.run(2).outputs == COUNTED_ON


def test_a_zombie_ends_as_a_recoverable_failure_and_latest_stays(on_disk: Place) -> None:
    assert on_disk.node.run(2).outputs
    after = on_disk.pointer()
    zombie = replace(on_disk.node, inputs={"n": 12}).run(1)
    assert zombie.kind == "RECOVERABLE"
    assert "SupersededError" in zombie.error
    assert on_disk.pointer() == after


def test_with_ckptptr_disabled_flytekit_is_stock_and_fails_for_good(killed: Place) -> None:
    stock = killed.node.run(2, CKPTPTR_DISABLE="1")
    assert stock.kind == "NON_RECOVERABLE"
    assert "FlyteDataNotFoundException" in stock.error
    assert stock.requests == []


@pytest.mark.parametrize("slip", ["CKPTPTR_KEEP_LAST=3.0", "CKPTPTR_ENGINE=obstor", "CKPTPTR_LINKS=folow"])
def test_a_setting_that_cannot_be_understood_stops_the_task_with_its_name(killed: Place, slip: str) -> None:
    before = killed.pointer()
    name, _, value = slip.partition("=")
    stopped = killed.node.run(1, **{name: value})
    assert stopped.kind == "NON_RECOVERABLE"
    assert f"{name} is '{value}'" in stopped.error
    assert killed.pointer() == before
    assert killed.node.run(2).outputs == COUNTED_ON


def test_a_place_that_we_cannot_open_has_stock_checkpoints(on_s3: Place) -> None:
    ours = replace(on_s3.node, root=f"{on_s3.node.root}//x")
    done = ours.run(0)
    assert done.outputs == {"o0": "counted from 0 to 8"}, done.log
    assert done.log.count("stock flytekit checkpoints are used, not ckptptr's") == 1


def test_what_stock_flytekit_saved_before_ckptptr_was_installed_is_restored(on_disk: Place) -> None:
    assert replace(on_disk.node, inputs={"n": 3}).run(0, CKPTPTR_DISABLE="1").outputs
    last = on_disk.node.run(1)
    assert last.outputs == COUNTED_ON, last.log


def test_two_nodes_of_one_execution_do_not_share_a_pointer(killed: Place) -> None:
    other = replace(killed.node, node="n1").run(0)
    assert other.outputs == {"o0": "counted from 0 to 8"}


def test_a_map_index_resumes_from_its_own_checkpoint_and_from_no_other(on_disk: Place) -> None:
    first, second = (replace(on_disk.node, inputs={"n": [8, 8]}, index=index) for index in (0, 1))
    assert first.run(0, IN_THE_MIDDLE_OF_SAVE_4).signal == 9
    assert second.run(0).outputs == {"o0": "counted from 0 to 8"}
    first.die_before_python(1)
    assert first.run(2).outputs == COUNTED_ON


def test_a_child_of_a_dynamic_task_resumes_past_dead_attempts(on_disk: Place) -> None:
    child = replace(on_disk.node, node="n0/1/dn0")
    assert child.run(0, IN_THE_MIDDLE_OF_SAVE_4).signal == 9
    child.die_before_python(1)
    assert child.run(2).outputs == COUNTED_ON


def test_in_a_layout_that_is_not_flytes_latest_still_leads_past_dead_attempts(on_disk: Place) -> None:
    """Another platform's paths: nothing verifies, one warning, and the pointer does its work."""
    odd = OddlyPlaced(**{field: getattr(on_disk.node, field) for field in on_disk.node.__slots__})
    first = odd.run(0, IN_THE_MIDDLE_OF_SAVE_4)
    assert first.log.count("does not know this layout") == 1
    odd.die_before_python(1)
    assert odd.run(2).outputs == COUNTED_ON


class OddlyPlaced(SimulatedNode):
    def home(self, attempt: int) -> str:
        return f"{self.root}/attempt-{attempt}"
