"""Folders and disks as trainers leave them: an attempt saves, and the next one restores."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckptptr.testing import SimulatedNode

TASKS = Path(__file__).with_name("tasks")

pytestmark = pytest.mark.servers  # all of it runs pyflyte-execute


def node(root: Path, task: str, **settings: object) -> SimulatedNode:
    return SimulatedNode("as_trainers_do", task, root=f"{root}/data", folder=str(TASKS), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("in_background", [False, True])
def test_logs_that_grow_links_and_files_that_vanish_are_saved_and_the_newest_file_stays_the_newest(
    tmp_path: Path, in_background: bool
) -> None:
    ours = node(tmp_path, "leaves_a_folder", inputs={"in_background": in_background})
    first = ours.run(0, CKPTPTR_IGNORE="*.tmp")
    assert (first.kind, "again" in first.error) == ("RECOVERABLE", True), first.log
    assert "dangling" in first.log
    second = ours.run(1)
    expected = "newest a-newest; log True; link data; a-newest b-older link"
    assert second.outputs == {"o0": expected}, second.log


def test_a_disk_without_room_is_the_matter_of_this_machine_and_retried(tmp_path: Path) -> None:
    ours = node(tmp_path, "finds_no_room")
    assert ours.run(0).kind == "RECOVERABLE"
    full = ours.run(1)
    assert full.kind == "RECOVERABLE", full.log
    assert "LocalDiskError" in full.error
    assert ours.run(2).outputs == {"o0": "100000"}
