"""`torch.distributed.checkpoint` on ckptptr: each rank uploads what it wrote, and a manifest commits it.

torch commits by a file, `.metadata`, that the coordinator writes last, and overwrites what has its name. Here
`.metadata` is one more part beside those of the ranks, recorded last. The coordinator tells all ranks the
token of the set with their plans, so that they need no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, Any

from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.filesystem import FileSystem
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from ckptptr.checkpoints import Checkpoint, Checkpoints
from ckptptr.errors import InvalidArgumentError
from ckptptr.framework import checkpoints_and_manners
from ckptptr.lifetime.temporary import TemporaryFolders
from ckptptr.session.parts import DEADLINE, Parts
from ckptptr.torch.elsewhere import Staying
from ckptptr.torch.ranks import rank, together

_METADATA = ".metadata"


@dataclass
class _Share:
    """What the coordinator tells a rank with its plan; torch reads `prefix`, with which its files begin."""

    prefix: str
    round: str
    rank: int
    ranks: int


class _Uploads(Staying):
    """The parts of one save. The process that trains uploads them, also when another one writes them."""

    def __init__(self, given: Any, step: int, metadata: Mapping[str, Any] | None, deadline: float) -> None:
        self._given, self._step, self._metadata, self._deadline = given, step, metadata, deadline
        self._temporary = TemporaryFolders()
        self.folder = self._temporary.new()
        self.saved: Checkpoint | None = None

    def new_round(self) -> str:
        session = checkpoints_and_manners(self._given)[0]._session
        return session.latest.fence.incarnation or session.clock.token(12)

    def contribute(self, share: _Share) -> None:
        self._parts(share).contribute(self.folder, step=self._step)

    def complete(self, share: _Share) -> None:
        file = self.folder / _METADATA
        self.saved = self._parts(share).save(file, step=self._step, metadata=self._metadata)

    def _parts(self, share: _Share) -> Parts[Checkpoint]:
        checkpoints, manners = checkpoints_and_manners(self._given)
        # One more part than ranks: that of the coordinator with `.metadata`.
        parts = checkpoints._new_parts(share.rank, share.ranks + 1, self._deadline, share.round)
        parts.guard = manners
        return parts


class DCPWriter(FileSystemWriter):  # type: ignore[misc]
    """A storage writer for `dcp.save` and `dcp.async_save`: one checkpoint of all ranks.

    Make a new one for each save. Each rank writes its files to a temporary folder, and uploads them from it;
    with `AsyncCheckpointerType.PROCESS` torch's own process writes them, and this one uploads them.
    `dcp.save` returns when the checkpoint is confirmed: then `saved` is that checkpoint, on the coordinator.

    Args:
        checkpoints: what `ckptptr.open` returns, or the checkpoint of a task, on each rank; all ranks must
            be in the same attempt.
        step: of the training. A step can be saved once in an attempt.
        metadata: a JSON object; the coordinator's counts.
        deadline: how many seconds the coordinator waits for the parts of all ranks to be seen.
        options: of torch's `FileSystemWriter`, `thread_count` for example.

    Raises: as `Parts.save`. InvalidArgumentError: `use_collectives=False`, with which torch loses data.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        step: int,
        metadata: Mapping[str, Any] | None = None,
        deadline: float = DEADLINE,
        **options: Any,
    ) -> None:
        self._uploads = _Uploads(checkpoints, step, metadata, deadline)
        super().__init__(self._uploads.folder, **{"sync_files": False, **options})
        self._coordinators: _Share

    @property
    def saved(self) -> Checkpoint | None:
        """See above."""
        return self._uploads.saved

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id is not None:
            raise InvalidArgumentError(
                "checkpoint_id is not used: ckptptr names checkpoints", hint="Give step= to DCPWriter"
            )
        super().reset(None)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if not kwargs.get("use_collectives", True):
            raise InvalidArgumentError(
                "use_collectives=False loses data in silence when another number of ranks loads it",
                hint="Leave it out",
            )
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        round_ = self._uploads.new_round()
        self._coordinators = _Share("", round_, len(plans), len(plans))
        shares = [_Share(f"__{rank}_", round_, rank, len(plans)) for rank in range(len(plans))]
        return [replace(plan, storage_data=share) for plan, share in zip(plans, shares, strict=True)]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        results = super().write_data(plan, planner)
        results.wait()
        self._uploads.contribute(plan.storage_data)
        return results

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        super().finish(metadata, results)
        self._uploads.complete(self._coordinators)


class DCPReader(FileSystemReader):  # type: ignore[misc]
    """A storage reader for `dcp.load`: the newest good checkpoint, the same on all ranks.

    Make it on all ranks at the same time: rank 0 chooses, and adopts. Files are read as torch needs them, in
    ranges; each block that is read is verified.

    Args:
        checkpoints: of this rank.
        checkpoint: exactly this one (a reference, an id, a URI).

    Attributes:
        found: whether there is a checkpoint to load. If not, do not call `dcp.load`.
        step: of the checkpoint that was found.

    Raises: as `Checkpoints.restore`, on all ranks where it fails on rank 0.
    """

    def __init__(self, checkpoints: Checkpoints, *, checkpoint: str | None = None) -> None:
        self._temporary = TemporaryFolders()
        super().__init__(self._temporary.new())
        self._checkpoints = checkpoints
        reference = together(lambda: self._restored(checkpoint) if rank() == 0 else None)[0]
        self.found = reference is not None
        if reference is not None and rank() != 0:
            self._restored(reference)
        manifest = checkpoints.resolution.found.manifest if self.found else None  # type: ignore[union-attr]
        self.step = manifest.step if manifest else None
        self.fs = _Opened(checkpoints)

    def _restored(self, checkpoint: str | None) -> str | None:
        folder = self._checkpoints.restore(self.path, checkpoint=checkpoint, only=_METADATA)
        resolution = self._checkpoints.resolution
        return resolution.found.reference if folder and resolution and resolution.found else None

    def read_metadata(self) -> Metadata:
        # Without **kwargs: torch asks for the metadata of each rank where this one fails.
        return super().read_metadata()


class _Opened(FileSystem):  # type: ignore[misc]
    """Files of the current checkpoint, by their names."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    @contextmanager
    def create_stream(self, path: str | os.PathLike[str], _: str) -> Iterator[IO[bytes]]:
        with self._checkpoints.open(os.path.basename(path)) as file:
            yield file
