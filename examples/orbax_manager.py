"""Orbax: what its CheckpointManager has written to a local folder is saved as one checkpoint.

    python examples/orbax_manager.py /tmp/run-orbax /tmp/orbax --steps 8

Kill it, and run it again: it goes on where it was.
"""

import argparse
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

import ckptptr


@jax.jit
def one_step(state: dict) -> dict:
    """Gradient descent on a batch that the key draws; the next key is part of the state."""
    key, drawn = jax.random.split(jax.random.wrap_key_data(state["key"]))
    batch = jax.random.normal(drawn, (16, 4))
    loss = lambda weights: jnp.mean((batch @ weights - batch.sum(axis=1)) ** 2)  # noqa: E731
    return {
        "weights": state["weights"] - 0.1 * jax.grad(loss)(state["weights"]),
        "key": jax.random.key_data(key),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="of the checkpoints")
    parser.add_argument("folder", type=Path, help="where Orbax writes its step folders, on this machine")
    parser.add_argument("--steps", type=int, default=8)
    given = parser.parse_args()

    shutil.rmtree(given.folder, ignore_errors=True)  # what a killed process has left is not confirmed
    state = {"weights": jnp.zeros(4), "key": jax.random.key_data(jax.random.key(5))}
    with ckptptr.open(given.url) as checkpoints:
        checkpoints.restore(given.folder)  # with nothing to restore the folder stays empty
        # Orbax keeps only the newest step folder, so the checkpoint has only that one.
        options = ocp.CheckpointManagerOptions(max_to_keep=1)
        with ocp.CheckpointManager(given.folder.absolute(), options=options) as manager:
            resumed = manager.latest_step()
            if resumed is not None:
                state = manager.restore(resumed, args=ocp.args.StandardRestore(state))
            for step in range((resumed or 0) + 1, given.steps + 1):
                state = one_step(state)
                print(f"step {step}: weights {state['weights'].tolist()}")
                if step % 2 == 0:
                    manager.save(step, args=ocp.args.StandardSave(state))
                    manager.wait_until_finished()  # Orbax renames the folder when it is whole
                    checkpoints.save(given.folder, step=step)
    print(f"resumed from {resumed}, ended at step {given.steps}")


if __name__ == "__main__":
    main()
