"""Where the story is run: an action of the example task, on a disk or on a cloud's server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flyte.models import CheckpointPaths

from ckptptr.flyte2.pointer_checkpoint import PointerCheckpoint
from ckptptr.stores.open import open_store
from ckptptr.testing.actions import SimulatedAction
from ckptptr.testing.deaths import Death, before_python, in_save
from tests.flyte2.contexts import checkpoint
from tests.places import Bucket

EXAMPLES = Path(__file__).parents[2] / "examples"
IN_SAVE_4: Death = in_save(4)
CLOUDS = ("s3", "gcs", "azure")
COUNTED_ON = {"o0": "counted from 3 to 8"}


@dataclass(frozen=True)
class Place(Bucket):
    """An action to run attempts of."""

    simulated: SimulatedAction

    @property
    def action(self) -> SimulatedAction:
        return self.simulated

    def three_deaths(self) -> None:
        """Attempt 1 dies in the middle of its fourth save, attempts 2 and 3 leave nothing at all."""
        first = self.action.run(1, IN_SAVE_4)
        assert first.signal == 9, first.log
        for attempt in (2, 3):
            self.action.run(attempt, before_python())


def attempt_of(action: SimulatedAction, number: int) -> PointerCheckpoint:
    """What `flyte.ctx().checkpoint` is in that attempt, for this process."""
    return checkpoint(
        action.sharded,
        number,
        run=action.run_name,
        action=action.action,
        project=action.project,
        domain=action.domain,
        run_base_dir=action.base,
        checkpoint_paths=CheckpointPaths(action.home(number - 1), action.home(number)),
    )


def place_at(
    url: str, options: Mapping[str, Any], environ: Mapping[str, str], secrets: tuple[str, ...] = ()
) -> Place:
    store, _ = open_store(url, storage_options=options)
    action = SimulatedAction(
        "flyte2_counter",
        "count_to",
        root=url,
        folder=str(EXAMPLES),
        inputs={"n": 8},
        environ=environ,
        storage_options=options,
    )
    return Place(action, store, secrets)


NOT_OF_FLYTE = [
    *("aiobotocore", "aiohttp", "boto3", "botocore", "s3fs"),
    *("google.auth", "gcsfs", "adlfs", "azure", "flyteidl", "flytekit"),
]


def only_flyte(folder: Path) -> Path:
    """A folder with the example task, which can import nothing that the SDK does not bring itself."""
    folder.mkdir()
    hide = f"import sys\n\nsys.modules.update(dict.fromkeys({NOT_OF_FLYTE}))\n"
    (folder / "flyte2_counter.py").write_text(hide + (EXAMPLES / "flyte2_counter.py").read_text())
    return folder
