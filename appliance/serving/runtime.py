"""Answers for one verified model: features from the online store, a score from ONNX Runtime.

Rules
1. The session is made from the very bytes that were verified; nothing is read from disk again, nothing is unpickled.
2. A vector whose contract says abstain or reject gets no score: the answer says why.
3. The same features are computed by the same code in training; the views stand in the signed package.
"""

from __future__ import annotations

import datetime as dt
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from appliance.base.errors import ApplianceError
from appliance.features.contract import REASONS, STATES
from appliance.features.store import Vectors
from appliance.serving import codes
from appliance.serving.contract import FeatureValue, Scored

_log = logging.getLogger(__name__)
PROVIDERS = ("CPUExecutionProvider",)
Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class VerifiedModel:
    """A classifier whose package, signature and approval were checked. Only `serving.loading` makes one.

    Attributes:
        model: the bytes of the ONNX file.
        inputs: what to look up: ``view`` or ``view.feature``.
        columns: feature names in the order of the model's columns; what `inputs` gives must be these.
        threshold: score from which the outcome is positive.
    """

    name: str
    version: int
    artifact_id: str
    model: bytes
    inputs: tuple[str, ...]
    columns: tuple[str, ...]
    threshold: float


class OnlineFeatures(Protocol):
    def get_online(self, entities: Sequence[str], at: dt.datetime, names: Sequence[str]) -> Vectors: ...

    def data_lineage(self) -> str:
        """Lineage id of the newest readings that the store holds."""


def score_once(model: bytes, values: Floats) -> NDArray[np.float64]:
    """Scores of a classifier's ONNX bytes for complete vectors, shape (rows, features); checks nothing.

    Raises:
        ApplianceError: APL-SERVE-006, ONNX Runtime does not take the model.
    """
    (scores,) = _session(model).run(["score"], {"features": values})
    return np.asarray(scores, dtype=np.float64)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one row at a time: more threads only wait for each other
    try:
        return onnxruntime.InferenceSession(model, options, providers=list(PROVIDERS))
    except (RuntimeError, ValueError) as error:
        raise ApplianceError(codes.MODEL_REFUSED, f"ONNX Runtime: {error}") from error


class Scorer:
    """One session of one model."""

    def __init__(self, verified: VerifiedModel, features: OnlineFeatures) -> None:
        """Raises:
        ApplianceError: APL-SERVE-006, ONNX Runtime does not take the model.
        """
        self.verified = verified
        self._features = features
        self._session = _session(verified.model)

    def warm_up(self, at: dt.datetime) -> None:
        """Run the whole path once, so that the first request does not pay for loading kernels and pages."""
        try:
            self.answer("", at)
        except ApplianceError as error:
            _log.info("warm-up without an answer", extra={"code": error.code.id})

    def score_rows(self, values: Floats) -> list[float]:
        """Scores of complete vectors, shape (rows, features) in the order of `inputs`."""
        (scores,) = self._session.run(["score"], {"features": values})
        return [float(score) for score in scores]

    def answer(self, entity: str, at: dt.datetime) -> Scored:
        """Look the features up and score them.

        Raises:
            ApplianceError: the online store cannot answer for that instant (APL-FEATURES-005, -009).
        """
        vectors = self._features.get_online([entity], at, self.verified.inputs)
        return self.judge(vectors, self._features.data_lineage())

    def judge(self, vectors: Vectors, data: str) -> Scored:
        """The answer for the first row of `vectors`."""
        if vectors.names != self.verified.columns:
            raise ApplianceError(
                codes.MODEL_REFUSED, f"expected the features {self.verified.columns}, got {vectors.names}"
            )
        states = [STATES[state] for state in vectors.judged.states[0]]
        features = tuple(
            FeatureValue(
                name=name,
                value=None if math.isnan(value) else float(value),
                age_s=None if math.isnan(age) else float(age),
                state=state,
            )
            for name, value, age, state in zip(vectors.names, vectors.values[0], vectors.age_s[0], states, strict=True)
        )
        refused = [
            f"{name}: {REASONS[reason]}"
            for name, state, reason in zip(vectors.names, states, vectors.judged.reasons[0], strict=True)
            if state in ("abstain", "reject")
        ]
        if refused:
            return Scored(
                artifact_id=self.verified.artifact_id,
                score=None,
                outcome="abstain",
                reason="; ".join(refused),
                data=data,
                features=features,
            )
        (score,) = self.score_rows(np.ascontiguousarray(vectors.values[:1], dtype=np.float32))
        return Scored(
            artifact_id=self.verified.artifact_id,
            score=score,
            outcome="positive" if score >= self.verified.threshold else "negative",
            data=data,
            features=features,
        )
