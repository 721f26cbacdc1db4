"""A training with each framework: a small model, fixed data, one loss a step, and a rank that dies.

    print(train("transformers", Trained(), checkpoints, folder, in_save))

`in_save` is called in the middle of each save, with its step. The ranks share each batch.
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.distributed as dist

IMPORTED_ONCE = {
    "transformers": (
        "transformers.trainer",
        "transformers.models.bert.modeling_bert",
        "ckptptr.transformers",
    ),
    "accelerate": ("accelerate", "ckptptr.accelerate"),
    "dcp": ("torch.distributed.checkpoint", "torch.distributed.fsdp", "ckptptr.torch"),
    "lightning": ("lightning.pytorch", "ckptptr.lightning"),
}


def import_once(*frameworks: str) -> None:
    """What the forks of this process then need not import."""
    for framework in frameworks:
        for module in IMPORTED_ONCE[framework]:
            importlib.import_module(module)
    gc.freeze()  # else each fork looks through all that was imported


InSave: TypeAlias = Callable[[int], None]

STEPS, EVERY, BATCH = 6, 2, 8


@dataclass
class Trained:
    """What a rank did. The last rank gets a SIGTERM after step `sigterm_at`, in the first round of ranks."""

    sigterm_at: int = 0
    begun_at: int = 0
    losses: list[str] = field(default_factory=list)

    def lost(self, step: int, loss: float) -> None:
        self.losses.append(f"step {step}: loss {loss!r}")
        if step == self.sigterm_at and rank() == ranks() - 1 and is_first_round():
            os.kill(os.getpid(), signal.SIGTERM)

    def __str__(self) -> str:
        return "\n".join([f"began after step {self.begun_at}", *self.losses])


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def ranks() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_round() -> bool:
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"


def meet() -> None:
    """Before the checkpoints are opened: so the ranks know each other."""
    if ranks() > 1:
        dist.init_process_group("gloo")


def kill(dies_at: int, who: int = 1) -> InSave:
    """That rank is killed in the middle of the save of that step, in the first round of ranks."""

    def in_save(step: int) -> None:
        if (step, rank()) == (dies_at, who) and is_first_round():
            os.kill(os.getpid(), signal.SIGKILL)

    return in_save


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of token ids, shape (24, 6), and their labels, shape (24,)."""
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randint(0, 32, (24, 6), generator=generator),
        torch.randint(0, 2, (24,), generator=generator),
    )


def with_transformers(
    trained: Trained,
    checkpoints: Any,
    folder: Path,
    in_save: InSave,
    *,
    dropout: float = 0.1,
    every: int = EVERY,
    **options: Any,
) -> None:
    from transformers import (
        BertConfig,
        BertForSequenceClassification,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        set_seed,
    )

    from ckptptr.transformers import CheckpointCallback

    tokens, labels = data()
    set_seed(5)
    args = TrainingArguments(
        str(folder),
        max_steps=STEPS,
        save_steps=every,
        per_device_train_batch_size=BATCH // ranks(),
        logging_steps=1,
        learning_rate=0.01,
        use_cpu=True,
        disable_tqdm=True,
        report_to=[],
        average_tokens_across_devices=False,  # else several ranks multiply the loss of this model
        **options,
    )
    config = BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    callback = CheckpointCallback(checkpoints)

    class Noting(TrainerCallback):
        def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            trained.begun_at = state.global_step

        def on_log(self, _args: Any, state: Any, _control: Any, logs: Any, **_: Any) -> None:
            if "loss" in logs:
                trained.lost(state.global_step, logs["loss"])

    class Dying(Trainer):
        def _save_rng_state(self, output_dir: str) -> None:
            in_save(self.state.global_step)
            super()._save_rng_state(output_dir)

    trainer = Dying(
        BertForSequenceClassification(config),
        args,
        train_dataset=[
            {"input_ids": row, "labels": label} for row, label in zip(tokens, labels, strict=True)
        ],
        callbacks=[Noting(), callback],
    )
    trainer.train(resume_from_checkpoint=callback.resume(folder))


def with_accelerate(
    trained: Trained,
    checkpoints: Any,
    folder: Path,
    in_save: InSave,
    *,
    dropout: float = 0.1,
) -> None:
    from accelerate import Accelerator, DataLoaderConfiguration
    from accelerate.utils import set_seed
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from ckptptr.accelerate import load_state, save_state

    folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(folder)  # this machine's
    set_seed(5)
    accelerator = Accelerator(
        cpu=True,
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=3),
        step_scheduler_with_optimizer=False,  # else a scheduler steps once for each rank
    )
    model = nn.Sequential(nn.Embedding(32, 8), nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    rate = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    own = torch.Generator()  # else the loader of a resumed epoch draws from the random numbers of dropout
    loader = DataLoader(TensorDataset(*data()), batch_size=BATCH // ranks(), shuffle=True, generator=own)
    model, optimizer, loader, rate = accelerator.prepare(model, optimizer, loader, rate)

    class Counted:
        step = 0

        def state_dict(self) -> dict[str, int]:
            in_save(self.step)
            return {"step": self.step}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.step = state["step"]

    counted = Counted()
    accelerator.register_for_checkpointing(counted)
    trained.begun_at = load_state(accelerator, checkpoints) or 0
    assert trained.begun_at == counted.step
    while counted.step < STEPS:
        epoch, within = divmod(counted.step, len(loader))
        loader.set_epoch(epoch)
        for tokens, labels in accelerator.skip_first_batches(loader, within):
            loss = nn.functional.cross_entropy(model(tokens), labels)
            accelerator.backward(loss)
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            counted.step += 1
            trained.lost(counted.step, accelerator.gather(loss.detach()).mean().item())
            if counted.step % EVERY == 0:
                save_state(accelerator, checkpoints, step=counted.step)


def with_lightning(
    trained: Trained,
    checkpoints: Any,
    folder: Path,
    in_save: InSave,
    *,
    dropout: float = 0.0,
    every: int = EVERY,
    sharded: bool = False,
    plugin: bool = False,
) -> None:
    """Without dropout, since Lightning restores no random numbers. The batch is chosen by the step, since it
    restores no place in an epoch. Where `sharded`, the middle of a save is before `meta.pt`, on rank 0; with
    the `plugin` it is when rank 0 has written the bytes."""
    from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
    from lightning.pytorch.callbacks import ModelCheckpoint
    from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy
    from torch import nn
    from torch.distributed.fsdp import fully_shard
    from torch.utils.data import DataLoader

    from ckptptr.errors import PreemptedError
    from ckptptr.lightning import Checkpoint, CheckpointIO

    assert dropout == 0.0
    tokens, labels = data()
    write = torch.save

    def writing(content: Any, file: Any, *given: Any, **more: Any) -> None:
        if sharded and str(file).endswith("meta.pt"):
            in_save(content["global_step"])
        write(content, file, *given, **more)
        if plugin:
            in_save(content["global_step"])

    torch.save = writing

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Embedding(32, 8), nn.Flatten(), nn.Linear(48, 2))

        def configure_model(self) -> None:
            if sharded:
                fully_shard(self.layers, mesh=self.device_mesh["data_parallel"])

        def on_train_start(self) -> None:
            trained.begun_at = self.global_step

        def training_step(self, _: Any) -> torch.Tensor:
            begin = self.global_step * BATCH % len(labels) + rank() * BATCH // ranks()
            mine = slice(begin, begin + BATCH // ranks())
            loss = nn.functional.cross_entropy(self.layers(tokens[mine]), labels[mine])
            mean = self.all_gather(loss.detach()).mean().item()
            self.log("loss", mean)
            noting.loss = mean
            return loss

        def on_save_checkpoint(self, _: Any) -> None:
            if not (sharded or plugin):
                in_save(self.global_step)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=0.05)

    class Noting(Callback):
        loss = 0.0

        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            trained.lost(trainer.global_step, self.loss)

    seed_everything(5, verbose=False)
    noting = Noting()
    strategy: Any = "auto"
    if sharded:
        strategy = ModelParallelStrategy(ranks(), 1, process_group_backend="gloo")
    elif ranks() > 1:
        strategy = DDPStrategy(process_group_backend="gloo")
    options: Any = {"every_n_train_steps": every, "save_top_k": -1}
    callback = ModelCheckpoint(folder, **options) if plugin else Checkpoint(checkpoints, folder, **options)
    io = CheckpointIO(checkpoints)
    trainer = Trainer(
        accelerator="cpu",
        strategy=strategy,
        devices=ranks(),
        max_steps=STEPS,
        callbacks=[callback, noting],
        plugins=[io] if plugin else [],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    resumed = (io if plugin else callback).resume()
    try:
        trainer.fit(Module(), DataLoader(torch.arange(4)), ckpt_path=resumed)
    except PreemptedError:
        dist.barrier()  # no rank waits for the end of another one's process
        raise


def with_dcp(
    trained: Trained,
    checkpoints: Any,
    folder: Path,
    in_save: InSave,
    *,
    dropout: float = 0.1,
    how: str = "",
    writer_dies_at: int = 0,
) -> None:
    """Shards of FSDP. With `how`, `thread` or `process`, the saves are asynchronous; `writer_dies_at` is the
    step in whose save the process of the last rank is killed that writes for it."""
    import torch.distributed.checkpoint as dcp
    from torch import nn
    from torch.distributed.checkpoint import _async_process_executor as processes
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from ckptptr.torch import DCPReader, DCPWriter

    if not how:  # else the sockets of torch's process are there, whose names must be short
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(folder)  # this machine's
    torch.manual_seed(5)
    model = nn.Sequential(nn.Embedding(32, 8), nn.Flatten(), nn.Dropout(dropout), nn.Linear(48, 2))
    torch.manual_seed(5 + rank())
    alone = ranks() == 1
    if not alone:
        fully_shard(model, mesh=init_device_mesh("cpu", (ranks(),)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    beside = dist.new_group(backend="gloo") if how else None
    mine, pending = f"random-{rank()}", None

    def state() -> dict[str, Any]:
        weights, moments = get_state_dict(model, optimizer)
        random = {mine: torch.get_rng_state()}
        return {"weights": weights, "moments": moments, "step": torch.tensor(trained.begun_at), **random}

    reader = DCPReader(checkpoints)
    if reader.found:
        found = state()
        dcp.load(found, storage_reader=reader, no_dist=alone)
        set_state_dict(model, optimizer, model_state_dict=found["weights"], optim_state_dict=found["moments"])
        torch.set_rng_state(found[mine])
        trained.begun_at = reader.step or 0
        assert trained.begun_at == int(found["step"])

    def writer_at(step: int) -> DCPWriter:
        writer = DCPWriter(checkpoints, step=step, metadata={"by": how}, deadline=60)
        contribute = writer._uploads.contribute

        def dying(share: Any) -> None:  # when its files are written
            in_save(step)
            if step == writer_dies_at and rank() == ranks() - 1 and is_first_round():
                os.kill(processes._CHECKPOINT_PROCESS._save_process.pid, signal.SIGKILL)
            contribute(share)

        writer._uploads.contribute = dying
        return writer

    tokens, labels = data()
    for step in range(trained.begun_at + 1, STEPS + 1):
        begin = (step - 1) * BATCH % len(labels) + rank() * BATCH // ranks()
        share = slice(begin, begin + BATCH // ranks())
        loss = nn.functional.cross_entropy(model(tokens[share]), labels[share])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        mean = loss.detach() / ranks()
        if not alone:
            dist.all_reduce(mean)
        trained.lost(step, mean.item())
        if step % EVERY:
            continue
        saved = {**state(), "step": torch.tensor(step)}
        if how:
            kind = AsyncCheckpointerType(how)
            if pending is not None:
                pending.result()
            pending = dcp.async_save(
                saved, storage_writer=writer_at(step), process_group=beside, async_checkpointer_type=kind
            )
        else:
            dcp.save(saved, storage_writer=writer_at(step), no_dist=alone)
    if pending is not None:
        pending.result()


TRAININGS: dict[str, Callable[..., None]] = {
    "accelerate": with_accelerate,
    "dcp": with_dcp,
    "lightning": with_lightning,
    "transformers": with_transformers,
}


def train(
    framework: str, trained: Trained, checkpoints: Any, folder: Path, in_save: InSave, **options: Any
) -> Trained:
    TRAININGS[framework](trained, checkpoints, folder, in_save, **options)
    return trained
