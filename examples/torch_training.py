"""PyTorch: killed at any moment, it ends with the very weights of an undisturbed run.

Model, optimizer, random numbers and step are one file of one checkpoint, so that no restore mixes two
of them. To see it die twice and go on:

    ckptptr simulate torch_training:train --folder examples --input epochs=6 \
        --die 'in save 3' --die 'before python'
"""

import hashlib
from typing import Any

import torch
from flytekit import task

from ckptptr.flyte import checkpoint


class Training:
    """A small classifier of points in the plane, with dropout: it draws random numbers all the time."""

    def __init__(self) -> None:
        torch.manual_seed(7)
        self.points = torch.rand(512, 2) * 2 - 1
        self.inside = (self.points.norm(dim=1) < 0.8).long()
        self.model = torch.nn.Sequential(
            torch.nn.Linear(2, 32), torch.nn.ReLU(), torch.nn.Dropout(0.2), torch.nn.Linear(32, 2)
        )
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=0.01)
        self.epoch = 0

    def step(self) -> float:
        for batch in torch.randperm(len(self.points)).split(64):
            self.optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(self.model(self.points[batch]), self.inside[batch])
            loss.backward()
            self.optimizer.step()
        self.epoch += 1
        return loss.item()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),  # on GPUs also torch.cuda.get_rng_state_all()
            "epoch": self.epoch,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self.epoch = state["epoch"]

    def fingerprint(self) -> str:
        weights = b"".join(value.numpy().tobytes() for value in self.model.state_dict().values())
        return f"{self.epoch} epochs, weights {hashlib.sha256(weights).hexdigest()[:16]}"


@task(retries=10)
def train(epochs: int) -> str:
    ours, training = checkpoint(), Training()
    if folder := ours.restore():
        training.load(torch.load(folder / "state.pt", weights_only=True))
    while training.epoch < epochs:
        loss = training.step()
        # Straight into the store, without a local copy; it is confirmed when the block ends.
        with ours.writer("state.pt", step=training.epoch, metadata={"loss": loss}) as file:
            torch.save(training.state(), file)
    return training.fingerprint()
