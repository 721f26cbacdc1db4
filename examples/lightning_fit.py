"""Lightning's `fit` on two ranks of torchrun: what its ModelCheckpoint writes is a checkpoint.

    python -m torch.distributed.run --standalone --nproc-per-node 2 examples/lightning_fit.py \
        /tmp/run-fit /tmp/fit --steps 8

Kill it, and run it again: it goes on where it was.
"""

import argparse

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.strategies import DDPStrategy

import ckptptr
from ckptptr.lightning import Checkpoint


class Module(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))

    def training_step(self, batch: torch.Tensor, _: int) -> torch.Tensor:
        loss = torch.nn.functional.mse_loss(self.layers(batch), batch.sum(1, keepdim=True))
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the checkpoints")
    parser.add_argument("folder", help="where Lightning writes its files, on this machine")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()

    seed_everything(5)
    torch.distributed.init_process_group("gloo")  # the ranks must know each other before they resume
    loader = torch.utils.data.DataLoader(torch.rand(16, 2), batch_size=4)
    retention = ckptptr.Retention(keep_last=2, keep_best=1, best_by="train_loss")
    with ckptptr.open(given.url, retention=retention) as checkpoints:
        callback = Checkpoint(checkpoints, given.folder, every_n_train_steps=2)
        trainer = Trainer(
            accelerator="cpu",
            devices=torch.distributed.get_world_size(),
            strategy=DDPStrategy(process_group_backend="gloo"),
            max_steps=given.steps,
            callbacks=[callback],
            logger=False,
            enable_progress_bar=False,
        )
        resumed = callback.resume()
        trainer.fit(Module(), loader, ckpt_path=resumed)
        if trainer.is_global_zero:
            print(f"resumed from {resumed}, ended at step {trainer.global_step}")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
