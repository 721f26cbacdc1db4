"""Workers that are not told the output prefix inherit it, and never that of another task."""

from __future__ import annotations

import pytest

from ckptptr.flyte.handed_on import hand_on, handed_on
from ckptptr.settings import HANDED_ON

HOME = "s3://b/vr/axq2-n0-0/_flytecheckpoints"


def test_what_was_handed_on_arrives_with_its_checkpoint_path_and_with_no_other() -> None:
    environ: dict[str, str] = {}
    hand_on(environ, checkpoint_path=HOME, output_prefix="s3://b/metadata/p-d-axq2/n0/data/0")
    assert handed_on(environ, checkpoint_path=HOME) == "s3://b/metadata/p-d-axq2/n0/data/0"
    assert handed_on(environ, checkpoint_path="s3://b/6s/axq2-n0-1/_flytecheckpoints") is None


@pytest.mark.parametrize(
    "text", ["", "no json", "7", "[]", "{}", f'{{"checkpoint_path": "{HOME}", "output_prefix": 7}}']
)
def test_anything_else_in_the_variable_is_as_nothing(text: str) -> None:
    assert handed_on({HANDED_ON.name: text}, checkpoint_path=HOME) is None
