"""Fits the classifiers that recipes name and gives them as ONNX. Runs in the training environment.

Rules
1. Inputs are float32, the type that serving uses, so that a threshold between two values cannot fall otherwise later.
2. Every source of randomness is the recipe's seed.
3. HistGradientBoosting is left out on purpose: skl2onnx 1.20 does not convert it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from appliance.training.recipe import GradientBoosting, Logistic, TorchMlp

Matrix = NDArray[np.float32]  # shape (rows, features)


class Fitted(Protocol):
    """A trained classifier."""

    def score(self, rows: Matrix) -> NDArray[np.float64]:
        """Probability of the positive class, shape (rows,)."""

    def onnx(self, names: Sequence[str]) -> bytes:
        """The model as ONNX: input ``features`` float32 (N, F), output ``score`` float32 (N,)."""


def fit(
    estimator: GradientBoosting | Logistic | TorchMlp,
    rows: Matrix,
    labels: NDArray[np.int8],
    *,
    seed: int,
    threads: int,
    gpu: bool,
) -> Fitted:
    """Train `estimator` on finite `rows`."""
    if isinstance(estimator, TorchMlp):
        from appliance.training.networks import fit_mlp

        return fit_mlp(estimator, rows, labels, seed=seed, threads=threads, gpu=gpu)
    return _Sklearn(_sklearn_model(estimator, seed, rows.shape[1]).fit(rows, labels))


class _Sklearn:
    def __init__(self, model: Any) -> None:
        self._model = model

    def score(self, rows: Matrix) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._model.predict_proba(rows)[:, 1]
        return scores

    def onnx(self, names: Sequence[str]) -> bytes:
        from appliance.training.export import sklearn_graph

        return sklearn_graph(self._model, len(names))


def _sklearn_model(estimator: GradientBoosting | Logistic, seed: int, features: int) -> Any:
    if isinstance(estimator, GradientBoosting):
        from sklearn.ensemble import GradientBoostingClassifier

        return GradientBoostingClassifier(
            n_estimators=estimator.trees,
            max_depth=estimator.depth,
            learning_rate=estimator.learning_rate,
            subsample=estimator.row_share,
            min_samples_leaf=estimator.least_leaf,
            max_features=min(estimator.features_per_split, features),
            random_state=seed,
        )
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=estimator.strength, max_iter=500, random_state=seed))
