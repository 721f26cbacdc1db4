"""XGBoost: boosting goes on from the trees that were saved, and ends with the same model.

The checkpoint is XGBoost's own JSON: `Booster(model_file=...)` reads what `ckptptr get TARGET .` fetches.

    ckptptr simulate xgboost_boosting:boost --folder examples --input rounds=30 \
        --die 'after save 2' --die 'before the first save'
"""

import hashlib

import numpy as np
import xgboost
from flytekit import task

from ckptptr.flyte import checkpoint

EVERY = 5
# No subsample: XGBoost does not save the state of the random numbers that it draws rows and columns by.
PARAMETERS = {"max_depth": 4, "nthread": 1, "seed": 7}


class SaveEveryFewRounds(xgboost.callback.TrainingCallback):
    def after_iteration(self, model: xgboost.Booster, *_: object) -> bool:
        rounds = model.num_boosted_rounds()  # the `epoch` that is passed counts from 0 again after a restart
        if rounds % EVERY == 0:
            checkpoint().save(bytes(model.save_raw("json")), step=rounds)
        return False  # do not stop


@task(retries=10)
def boost(rounds: int) -> str:
    saved = checkpoint().read()
    model = xgboost.Booster(PARAMETERS, model_file=bytearray(saved)) if saved else None
    missing = rounds - (model.num_boosted_rounds() if model else 0)
    rows = np.random.default_rng(7).normal(size=(1000, 6))
    data = xgboost.DMatrix(rows, np.sin(rows[:, 0]) + rows[:, 1] * rows[:, 2])
    model = xgboost.train(PARAMETERS, data, missing, xgb_model=model, callbacks=[SaveEveryFewRounds()])
    trees = "".join(model.get_dump()).encode()
    return f"{model.num_boosted_rounds()} rounds, {hashlib.sha256(trees).hexdigest()[:16]}"
