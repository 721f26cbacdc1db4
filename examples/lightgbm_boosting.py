"""LightGBM: boosting goes on from the trees that were saved, and ends with the same model.

The checkpoint is LightGBM's own text format: what `ckptptr get TARGET .` fetches, any tool of LightGBM reads.

    ckptptr simulate lightgbm_boosting:boost --folder examples --input rounds=30 \
        --die 'after save 2' --die 'before the first save'
"""

import hashlib

import lightgbm
import numpy as np
from flytekit import task

from ckptptr.flyte import checkpoint

EVERY = 5
# No bagging: LightGBM does not save the state of the random numbers that it draws rows and columns by.
PARAMETERS = {"num_leaves": 15, "num_threads": 1, "deterministic": True, "verbose": -1}


def save_every_few_rounds(env: lightgbm.callback.CallbackEnv) -> None:
    rounds = env.iteration + 1  # counted on from the trees that were restored
    if rounds % EVERY == 0 or rounds == env.end_iteration:
        checkpoint().save(env.model.model_to_string().encode(), step=rounds)


@task(retries=10)
def boost(rounds: int) -> str:
    saved = checkpoint().read()
    model = lightgbm.Booster(model_str=saved.decode()) if saved else None
    missing = rounds - (model.num_trees() if model else 0)
    if missing:
        rows = np.random.default_rng(7).normal(size=(1000, 6))
        data = lightgbm.Dataset(rows, np.sin(rows[:, 0]) + rows[:, 1] * rows[:, 2])
        model = lightgbm.train(PARAMETERS, data, missing, init_model=model, callbacks=[save_every_few_rounds])
    trees = model.model_to_string().partition("end of trees")[0]
    return f"{model.num_trees()} trees, {hashlib.sha256(trees.encode()).hexdigest()[:16]}"
