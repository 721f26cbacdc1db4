"""Each limit of PROTOCOL.md, section 11, happens here as the section says; a cure makes its test fail.

The first line of each docstring is the name that the limit has there.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ckptptr.errors import ConflictError, SupersededError
from ckptptr.protocol.candidates import Verdict
from ckptptr.protocol.retention import Retention
from ckptptr.protocol.sweep import search, sweep_by_hand
from ckptptr.session import cohort
from ckptptr.session.cohort import Cohort
from ckptptr.stores.local.store import LocalStore
from ckptptr.stores.port import Guarantee
from ckptptr.testing import Fault, Killed
from ckptptr.testing.attempts import SimulatedNode
from tests.helpers import FLYTE, Paused, Process, World

EXAMPLES = Path(__file__).parents[2] / "examples"
PROTOCOL = Path(__file__).parents[2] / "PROTOCOL.md"
KEEP_ONE, KEEP_TWO = Retention(keep_last=1), Retention(keep_last=2)


def saved(process: Process, *steps: int) -> list[str]:
    """Save steps, each with a file that changes and one that does not; their references."""
    return [process.save({"model": f"{step}", "frozen": "same"}, step=step).reference for step in steps]


def test_a_text_editor_names_what_is_being_deleted(world: World) -> None:
    """An editor against a sweep"""
    run = world.process(0, retention=KEEP_TWO)
    first, *_ = saved(run, 1, 2, 3)
    run.before("delete", first.rpartition("/")[2], lambda: world.edit(checkpoint=first))
    saved(run, 4)
    assert not world.is_whole(first)
    last = world.process(1)
    assert last.restore() == {"model": "3", "frozen": "same"}
    assert last.resolution.verdict is Verdict.HISTORY
    assert [rejected.reference for rejected in last.resolution.rejected] == [first]


@pytest.mark.parametrize("how", ["use", "a pin after a restore"])
def test_what_a_run_deletes_beside_a_hold_can_still_be_named(world: World, how: str) -> None:
    """A choice against a run beside a hold"""
    run = world.process(0, retention=KEEP_TWO)
    chosen, _ = saved(run, 1, 2)
    if how == "use":
        world.person().use(chosen)
    else:
        world.edit(checkpoint=chosen)  # then the restore looks for what LATEST has lost
    beside, _ = saved(run, 3, 4)

    def name_it() -> None:
        if how == "use":
            world.person().use(beside)
        else:
            world.process(1).restore()
            world.person().pin(beside)

    run.before("delete", beside.rpartition("/")[2], name_it)
    saved(run, 5)
    latest = world.latest()
    named = [target for target in latest.retained if target.pinned] or [latest.target]
    assert [target.checkpoint for target in named] == [beside]
    assert not world.is_whole(beside)
    last = world.process(2)
    assert last.restore() == {"model": "1", "frozen": "same"}
    assert last.resolution.verdict is (Verdict.HISTORY if how == "use" else Verdict.POINTER)


def test_a_hand_edit_that_drops_the_expired_is_believed_during_a_sweep(world: World) -> None:
    """An edit without `doomed`, against a sweep"""
    run = world.process(0, retention=KEEP_TWO)
    first, *_ = saved(run, 1, 2, 3)

    def edit_and_adopt() -> None:
        world.edit(doomed=[])
        world.process(1).restore()
        assert first in world.named()

    run.before("delete", first.rpartition("/")[2], edit_and_adopt)
    with pytest.raises(SupersededError):
        saved(run, 4, 5)
    assert first in world.named()
    assert not world.is_whole(first)
    assert world.process(2).restore() == {"model": "4", "frozen": "same"}


@pytest.mark.servers
def test_a_recovered_execution_whose_first_attempt_never_ran_python_starts_fresh(tmp_path: Path) -> None:
    """The first attempt of a recovered execution dies before it moves LATEST"""
    old = SimulatedNode("counter_task", "count_to", f"{tmp_path}/data", str(EXAMPLES), {"n": 3})
    assert old.run(0).outputs == {"o0": "counted from 0 to 3"}
    new = replace(old, execution="recovered-run", previous=old.home(0), inputs={"n": 5})
    new.die_before_python(0)
    assert new.run(1).outputs == {"o0": "counted from 0 to 5"}
    seeded = replace(new, execution="recovered-again", environ={"CKPTPTR_SEED": old.prefix})
    seeded.die_before_python(0)
    assert seeded.run(1).outputs == {"o0": "counted from 3 to 5"}


def test_a_predecessor_that_had_never_moved_latest_takes_the_node(world: World) -> None:
    """A predecessor that never moved LATEST"""
    saved(world.process(0), 1)
    old, new = (world.process(1, incarnation=token) for token in ("old", "new"))
    for process in (old, new):
        assert process.restore() == {"model": "1", "frozen": "same"}
    confirmed = saved(new, 2)
    saved(old, 3)
    with pytest.raises(SupersededError):
        saved(new, 4)
    assert world.latest().target.step == 3
    assert {*confirmed} <= {*world.named()}


def test_a_predecessor_of_unknown_incarnation_is_a_sibling(world: World) -> None:
    """An unknown incarnation"""
    old, new = world.process(0), world.process(0)
    old.save_file("opt", "of the predecessor", step=1)
    assert new.restore() == {"opt": "of the predecessor"}
    new.save_file("model", "2", step=2)
    old.save_file("opt", "of the predecessor, later", step=3)
    assert world.process(1).restore() == {"model": "2", "opt": "of the predecessor, later"}


class _AgentsStore(dict[str, str]):
    """What an elastic agent keeps for its workers, as torch's TCPStore answers."""

    def compare_set(self, key: str, expected: str, wanted: str) -> bytes:
        if self.get_text(key) == expected:
            self[key] = wanted
        return self.get_text(key).encode()

    def get_text(self, key: str) -> str:
        return super().get(key, "")

    def add(self, key: str, by: int) -> int:
        self[key] = str(int(self.get_text(key) or 0) + by)
        return int(self[key])

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)

    def get(self, key: str) -> bytes:  # type: ignore[override]
        return self[key].encode()


def test_a_rank_that_missed_a_round_follows_its_decision(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rank that missed the round before"""
    store = _AgentsStore()
    monkeypatch.setattr(cohort._Agent, "store", lambda _: store)

    def joined(rank: int) -> tuple[Process, dict[str, str]]:
        """A rank on a machine of its own, and what it restores."""
        ranks = Cohort.of(
            {
                **{"RANK": str(rank), "WORLD_SIZE": "2", "GROUP_RANK": str(rank)},
                **{"MASTER_ADDR": "machine-0", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "run"},
                **{"TORCHELASTIC_RESTART_COUNT": "0", "TORCHELASTIC_USE_AGENT_STORE": "True"},
            }
        )
        process = world.process(1, incarnation=ranks.token)
        folder = world.new_folder()
        assert ranks.restore(
            lambda named: process.checkpoints.restore(folder, checkpoint=named),
            lambda: process.checkpoints.resolution,
        )
        return process, {path.name: path.read_text() for path in folder.iterdir()}

    saved(world.process(0), 1)
    before, restored = joined(0)  # and rank 1 dies before it joins
    assert restored["model"] == "1"
    saved(before, 2)
    late, restored = joined(1)  # of the next round
    assert restored["model"] == "1"
    first, restored = joined(0)
    assert restored["model"] == "2"
    saved(first, 3)
    with pytest.raises(SupersededError):  # so that Flyte starts a round anew
        saved(late, 2)
    assert world.latest().target.step == 3


def test_a_latest_that_comes_and_goes_within_a_restore_looks_absent(world: World) -> None:
    """LATEST is deleted twice within a restore"""
    run = world.process(0)
    saved(run, 1)
    world.delete_latest()

    def save_and_delete() -> None:
        saved(run, 2)
        world.delete_latest()

    last = world.process(1)
    last.before("create", "LATEST", save_and_delete)
    assert last.restore() == {"model": "1", "frozen": "same"}
    assert world.latest().target.step == 1
    assert world.is_whole(world.committed()[-1])  # it can be chosen until a sweep


@pytest.mark.parametrize("left", [None, b"{"])
def test_a_superseded_attempt_that_restores_without_latest_starts_fresh_and_saves_nothing(
    world: World, left: bytes | None
) -> None:
    """A superseded attempt restores while LATEST is lost"""
    saved(world.process(0), 1)
    newer = world.process(1, retention=KEEP_ONE)
    newer.restore()
    saved(newer, 2, 3, 4)
    world.delete_latest()
    if left is not None:
        world.write(left)
    late = world.process(0)
    assert late.restore() is None
    with pytest.raises(SupersededError):
        saved(late, 5)
    assert world.process(2).restore() == {"model": "4", "frozen": "same"}


def test_an_attempt_far_behind_takes_a_lost_latest_until_the_live_one_saves(world: World) -> None:
    """An attempt that is four or more behind saves while LATEST is lost"""
    late, live = world.process(0), world.process(4)
    saved(late, 1)
    live.restore()
    (newest,) = saved(live, 2)
    world.delete_latest()
    saved(late, 3)
    assert (world.latest().fence, world.latest().target.step) == (0, 3)
    assert world.is_whole(newest)
    saved(live, 4)
    assert (world.latest().fence, world.latest().target.step) == (4, 4)
    with pytest.raises(SupersededError):
        saved(late, 5)


def test_what_attempts_left_more_than_ten_before_one_that_was_killed_too_early_stays(tmp_path: Path) -> None:
    """Orphans of long ago"""
    world = World(tmp_path, FLYTE)
    for attempt in range(3):
        killed = world.process(attempt, Fault("kill", op="create", key="manifests"))
        with pytest.raises(Killed):
            saved(killed, attempt)
    saved(world.process(13, background=Paused()), 13)  # killed before its search
    saved(world.process(14, retention=KEEP_ONE), 14, 15, 16)
    left = [attempt for attempt in range(15) if world.find(f"{world.home_of(attempt)}/data")]
    assert left == [0, 1, 2, 14]
    node, latest = world.node(15), world.person().latest
    orphans = search(world.store, node, world.seen()).orphans
    assert len(sweep_by_hand(world.store, node, latest, orphans)) == 3
    assert [attempt for attempt in range(3) if world.find(f"{world.home_of(attempt)}/")] == []


def test_a_bucket_rule_deletes_what_new_checkpoints_reference(world: World) -> None:
    """A bucket rule that deletes by age"""
    saved(world.process(0), 1, 2)
    run = world.process(1)
    run.restore()
    run.save({"model": "3", "frozen": "same"}, step=3)
    run.save({"model": "4", "frozen": "same"}, step=4)
    newest, before, *_ = world.named()
    world.store.delete(world.objects_of(before))  # also what the newest references
    last = world.process(2)
    assert last.restore() == {"model": "2", "frozen": "same"}
    assert [rejected.reference for rejected in last.resolution.rejected] == [newest, before]


def test_a_store_without_conditions_loses_an_update_of_latest(tmp_path: Path) -> None:
    """A `last-writer-wins` store"""
    world = World(tmp_path, guarantee=Guarantee.LAST_WRITER_WINS)
    zombie, newer = world.process(0), world.process(1)
    saved(zombie, 1)
    newer.restore()
    zombie.before("upload", "LATEST", lambda: saved(newer, 2))
    saved(zombie, 3)
    assert world.latest().fence == 0
    assert world.latest().target.step == 3
    last = world.process(2)
    assert last.restore() == {"model": "2", "frozen": "same"}
    assert last.resolution.verdict is Verdict.WALKBACK


def test_on_a_disk_an_edit_between_check_and_rename_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A text editor on a local disk"""
    store, latest = LocalStore(), tmp_path / "LATEST"
    token = store.create(str(latest), b"of a machine")
    rename = os.replace

    def edited_before(hidden: Any, path: Any) -> None:
        latest.write_text("of a person")
        rename(hidden, path)

    monkeypatch.setattr(os, "replace", edited_before)
    store.replace(str(latest), b"of a machine again", token)
    assert latest.read_bytes() == b"of a machine again"
    latest.write_text("of a person")
    with pytest.raises(ConflictError):  # at any other moment the edit stays
        store.replace(str(latest), b"of a machine", token)
    assert latest.read_text() == "of a person"


def test_each_limit_has_a_test_and_a_reason() -> None:
    _, _, section = PROTOCOL.read_text().partition("\n## 11. Known limits\n")
    limits = re.findall(r"^- (.+?)(?=\n- |\n## |\Z)", section, re.MULTILINE | re.DOTALL)
    named = [re.match(r"\*\*(.+?)\.\*\*.+\*Why:\* \w", " ".join(limit.split())) for limit in limits]
    tests = [
        (test.__doc__ or "").strip()
        for name, test in vars(sys.modules[__name__]).items()
        if name.startswith("test_") and name != "test_each_limit_has_a_test_and_a_reason"
    ]
    assert [limit[1] if limit else "" for limit in named] == tests
