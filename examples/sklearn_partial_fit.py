"""scikit-learn: `partial_fit` over a stream of batches, with flytekit's own calls only.

ckptptr is not imported: installed in the image, it finds the newest good checkpoint, also where the
attempt just before left none.

    ckptptr simulate sklearn_partial_fit:fit --folder examples --input batches=6 \
        --die 'in save 4' --die 'before python'
"""

import hashlib
from pathlib import Path

import joblib
import numpy as np
from flytekit import current_context, task
from sklearn.linear_model import SGDClassifier


def read_batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Batch `number` of the stream: it can be asked for again, so a resumed run sees the same data."""
    rows = np.random.default_rng(number).normal(size=(256, 8))
    return rows, (rows[:, 0] * rows[:, 1] > 0).astype(int)


@task(retries=10)
def fit(batches: int) -> str:
    checkpoint = current_context().checkpoint
    model, done = SGDClassifier(random_state=7), 0
    folder = Path("restored")
    folder.mkdir()  # stock flytekit wants it to exist
    if checkpoint.prev_exists():
        checkpoint.restore(folder)
        model, done = joblib.load(folder / "state.joblib")
    for number in range(done, batches):
        model.partial_fit(*read_batch(number), classes=[0, 1])
        joblib.dump((model, number + 1), "state.joblib")
        checkpoint.save("state.joblib")
    return f"{batches} batches, coefficients {hashlib.sha256(model.coef_.tobytes()).hexdigest()[:16]}"
