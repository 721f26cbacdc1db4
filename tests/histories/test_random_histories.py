"""No random history breaks a rule: see `tests.histories.history`. `make histories` lives more of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.histories.run import lived
from tests.sampling import sampled

HISTORIES = 150
CHUNKS = 50
ONCE_BROKEN = {
    30432: "no command unpinned what had expired while only its marker kept it",
    60316: "a superseded attempt starts fresh while LATEST is lost: a limit",
    60893: "a save beside a hold that was over was confirmed: a newer attempt had swept it",
    81117: "beside a hold a rank deleted a set of parts on which another one built",
    100822: "a pin that was taken off while a restore adopted an edited LATEST was in it again",
    103495: "an attempt that had only copied LATEST's target forward counted as one that had searched",
    102290: "a predecessor released what a person had named of an attempt that had not moved LATEST",
    107555: "a rank that came late named a set a second time, and moved LATEST back to it",
    71187: "a save in flight displaced what a person had put and a restore had adopted",
    401422: "an orphan of long ago stays, where an attempt died before its search: a limit",
    300343: "an edit hid the fence from an attempt that had seen it, whose save referred to deleted files",
    105895: "a superseded save was confirmed beside an edit, and a sweep by hand had deleted its files",
    103895: "a save was confirmed by what only a listing told, while there was no LATEST",
    101505: "where the last writer wins, a manifest that was deleted before it was read back was no answer",
    704032: "a pin beside a hold named what a run was deleting: a limit",
    903948: "a pin kept what a restore had named beside a hold, and its run was deleting: a limit",
    1004311: "a checkpoint of which an object was gone was adopted: another one had brought its files",
    1005741: "a rank that came late committed again a set that had expired, and LATEST named it",
    1105383: "the witness took a seed's checkpoint for a sibling's",
    1216494: "a person wrote the same words twice, and a save took for there what had been swept in between",
    704607: "an edit hid that an attempt was started again from its predecessor, which had seen it",
    604495: "a save that was committed again beside a hold never saw that a newer attempt had taken over",
    100224: "a save referred to what a restore had found beside a hold, and its run deleted",
}
"""`make histories` found them."""
PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("chunk", sampled(range(CHUNKS)))
def test_no_history_breaks_a_rule(tmp_path: Path, chunk: int) -> None:
    for seed in range(chunk, HISTORIES, CHUNKS):
        lived(seed, tmp_path)


@pytest.mark.parametrize("seed", sampled(ONCE_BROKEN))
def test_what_once_broke_a_rule_does_not_again(tmp_path: Path, seed: int) -> None:
    lived(seed, tmp_path)


@pytest.mark.slow
def test_the_same_seed_is_the_same_history_in_every_process(tmp_path: Path) -> None:
    def told(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.histories", "--first", "13", "--count", "5", "--digest"]
        run = subprocess.run(
            [*command, "--scratch", str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=PROJECT,
            env={"PYTHONHASHSEED": hash_seed},
        )
        return run.stdout

    first = told("1")
    assert len(first.split()) == 5
    assert told("2") == first
