"""Entry script: a linear model over the numbers of a table's rows, with NumPy on one thread."""

import numpy as np
import pandas as pd
import stopwatch

_weights: np.ndarray | None = None


def init() -> None:
    """The weights are the same everywhere; what they are does not matter here."""
    global _weights
    _weights = np.linspace(-1, 1, 4)


def run(mini_batch: pd.DataFrame) -> list[str]:
    """One row per row: its number and its score."""
    started_ns = stopwatch.start()
    scores = mini_batch[["a", "b", "c", "d"]].to_numpy(float) @ _weights
    rows = [f"{number} {score:.4f}" for number, score in zip(mini_batch["number"].tolist(), scores.tolist(), strict=True)]
    stopwatch.stop(started_ns, len(rows))
    return rows
