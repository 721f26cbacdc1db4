"""A training loop with Accelerate, on two ranks: it goes on in the middle of an epoch, with equal losses.

    python -m torch.distributed.run --standalone --nproc-per-node 2 examples/accelerate_loop.py \
        /tmp/run-loop --steps 8

Kill it, and run it again: it goes on where it was.
"""

import argparse

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.utils import set_seed
from torch.utils.data import DataLoader, TensorDataset

import ckptptr
from ckptptr.accelerate import load_state, save_state

EVERY = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()

    set_seed(5)
    # Makes the process group. So the checkpoints are opened after it: the ranks must know each other.
    accelerator = Accelerator(
        cpu=True, dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, data_seed=3)
    )
    points = torch.rand(48, 2)
    data = TensorDataset(points, points.sum(1, keepdim=True))
    model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(0.1), torch.nn.Linear(8, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    # With a generator of its own, the loader of a resumed epoch leaves the random numbers of dropout alone.
    loader = DataLoader(data, batch_size=4, shuffle=True, generator=torch.Generator())
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)

    with ckptptr.open(given.url) as checkpoints:
        begin = load_state(accelerator, checkpoints)
        step = begin or 0
        while step < given.steps:
            epoch, done = divmod(step, len(loader))
            loader.set_epoch(epoch)
            for inputs, targets in accelerator.skip_first_batches(loader, done):
                loss = torch.nn.functional.mse_loss(model(inputs), targets)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                accelerator.print(f"step {step}: loss {loss.item():.6f}")
                if step % EVERY == 0:
                    save_state(accelerator, checkpoints, step=step, metadata={"loss": loss.item()})
                if step == given.steps:
                    break
        accelerator.print(f"resumed from {begin}, ended at step {step}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
