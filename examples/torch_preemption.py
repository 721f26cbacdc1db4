"""PyTorch on a spot machine: saves that the training does not wait for, and a last one when SIGTERM comes.

The next attempt repeats nothing. The model is that of `torch_training.py`.

    ckptptr simulate torch_preemption:train --folder examples --input epochs=25 \
        --die 'sigterm after save 1'
"""

import io

import torch
from flytekit import task
from torch_training import Training

from ckptptr.flyte import checkpoint

EVERY = 5


def frozen(training: Training) -> bytes:
    memory = io.BytesIO()
    torch.save(training.state(), memory)
    return memory.getvalue()


@task(retries=10)
def train(epochs: int) -> str:
    ours, training = checkpoint(), Training()
    if saved := ours.read():
        training.load(torch.load(io.BytesIO(saved), weights_only=True))
    whole = training.epoch, b""

    def save_the_last() -> None:
        epoch, state = whole
        if state:
            ours.save(state, step=epoch)

    # The signal ends what runs wherever that is, in the middle of an optimizer step too. So what is
    # saved then is not the model, which may be half updated, but the last whole epoch. The grace of the
    # pod (terminationGracePeriodSeconds, 30) has to be longer than the deadline.
    with ours.on_preemption(save_the_last, deadline=20):
        while training.epoch < epochs:
            training.step()
            whole = training.epoch, frozen(training)
            if training.epoch % EVERY == 0 or training.epoch == epochs:
                # Returns at once; one save at a time, and of those that wait the newest wins.
                ours.save(whole[1], step=training.epoch, block=False)
        ours.wait()  # raises what a save in the background failed with
    return training.fingerprint()
