"""The snippet of the page for Megatron-LM and DeepSpeed, on folders with the files that they write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ckptptr
from tests.frameworks.launch import PROJECT, TASKS, Forks
from tests.test_documents import blocks_of

pytestmark = [pytest.mark.timeout(400)]

FOUND = {
    "megatron": [
        *("iter_0000002/.metadata", "iter_0000002/__0_0.distcp", "iter_0000002/__0_1.distcp"),
        *("iter_0000002/__1_0.distcp", "iter_0000002/__1_1.distcp", "iter_0000002/common.pt"),
        *("iter_0000002/metadata.json", "latest_checkpointed_iteration.txt"),
    ],
    "deepspeed": [
        "global_step2/mp_rank_00_model_states.pt",
        *(f"global_step2/zero_pp_rank_{rank}_mp_rank_00_optim_states.pt" for rank in (0, 1)),
        *("latest", "zero_to_fp32.py", "zero_to_torch.py"),
    ],
}


@pytest.mark.parametrize("framework", FOUND)
def test_a_machine_is_killed_in_a_save_and_new_machines_have_the_folder_of_the_save_before(
    framework: str, forks: Forks, tmp_path: Path
) -> None:
    (block,) = (each for each in blocks_of(PROJECT / "docs/distributed.md") if "IS_FIRST_HERE" in each.text)
    snippet = tmp_path / "snippet.py"
    snippet.write_text(block.text)
    given = (framework, str(snippet), str(tmp_path / "run"), str(tmp_path))
    printed = forks.run_on_ranks(tmp_path, TASKS / "machines.py", *given, restarts=1)
    told = [json.loads(line) for line in printed.splitlines()]
    assert told == [{"begin": 2, "found": FOUND[framework]}] * 2
    with ckptptr.open(tmp_path / "run", read_only=True) as checkpoints:
        assert [kept.step for kept in checkpoints.history()] == [4, 3, 2]
