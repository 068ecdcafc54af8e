"""The small torch models. Runs in the training environment.

Rules
1. Deterministic algorithms only; order of batches from a generator with the recipe's seed; a fixed number of threads.
2. Weights leave as NumPy arrays, and ONNX is written from those (`export`): no exporter, no tracing, same bytes.

Tensor suffixes: B batch, F features, L look-back, H horizon.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from appliance.base.errors import ApplianceError
from appliance.training import codes
from appliance.training.recipe import TorchLinear, TorchMlp

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Weights of the network; `layers` are (weight (in, out), bias (out,))."""

    mean: Floats
    scale: Floats
    layers: tuple[tuple[Floats, Floats], ...]

    def score(self, rows: Floats) -> NDArray[np.float64]:
        """Probabilities by torch itself, so that parity compares two libraries."""
        x_bf = torch.from_numpy(np.ascontiguousarray(rows - self.mean) / self.scale)
        for index, (weight, bias) in enumerate(self.layers):
            x_bf = torch.addmm(torch.from_numpy(bias), x_bf, torch.from_numpy(weight))
            if index < len(self.layers) - 1:
                x_bf = torch.relu(x_bf)
        scores: NDArray[np.float64] = torch.sigmoid(x_bf[:, 0]).numpy().astype(np.float64)
        return scores

    def onnx(self, names: Sequence[str]) -> bytes:
        from appliance.training.export import mlp_graph

        return mlp_graph(self.mean, self.scale, self.layers)


def fit_mlp(estimator: TorchMlp, rows: Floats, labels: NDArray[np.int8], *, seed: int, threads: int, gpu: bool) -> Mlp:
    """Train on `rows` (B, F); two hidden layers of `width`."""
    device = _prepare(seed, threads, gpu)
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = rows.std(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.where(spread > 0, spread, np.float32(1)).astype(np.float32)
    width = estimator.width
    model = torch.nn.Sequential(
        torch.nn.Linear(rows.shape[1], width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, width),
        torch.nn.ReLU(),
        torch.nn.Linear(width, 1),
    ).to(device)
    x_bf = torch.from_numpy((rows - mean) / scale).to(device)
    y_b = torch.from_numpy(labels.astype(np.float32)).to(device)
    loss = torch.nn.BCEWithLogitsLoss()
    _descend(
        model,
        len(x_bf),
        lambda chosen: loss(model(x_bf[chosen])[:, 0], y_b[chosen]),
        epochs=estimator.epochs,
        batch=estimator.batch,
        learning_rate=estimator.learning_rate,
        seed=seed,
    )
    linear = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    layers = tuple((_array(layer.weight.T), _array(layer.bias)) for layer in linear)
    return Mlp(mean=mean, scale=scale, layers=layers)


def fit_linear(
    estimator: TorchLinear,
    series: NDArray[np.float64],
    lookback: int,
    horizon: int,
    *,
    seed: int,
    threads: int,
    gpu: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """One linear map for all channels on last-value-subtracted windows of `series` (steps, channels).

    Returns:
        weight (L, H) and bias (H,), in the scale of `series`.
    """
    device = _prepare(seed, threads, gpu)
    views = np.lib.stride_tricks.sliding_window_view(series.astype(np.float32), lookback + horizon, axis=0)
    windows = torch.from_numpy(np.ascontiguousarray(views)).to(device)  # (B, channels, L + H)
    model = torch.nn.Linear(lookback, horizon).to(device)
    with torch.no_grad():
        model.weight.zero_()  # from "repeat the last value" upwards
        model.bias.zero_()

    def loss(chosen: Any) -> Any:
        part = windows[chosen]
        last = part[..., lookback - 1 : lookback]
        return torch.nn.functional.mse_loss(model(part[..., :lookback] - last), part[..., lookback:] - last)

    _descend(
        model,
        len(windows),
        loss,
        epochs=estimator.epochs,
        batch=estimator.batch,
        learning_rate=estimator.learning_rate,
        seed=seed,
    )
    return _array(model.weight.T).astype(np.float64), _array(model.bias).astype(np.float64)


def _prepare(seed: int, threads: int, gpu: bool) -> Any:
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    if gpu and not torch.cuda.is_available():
        # The identity already names the GPU: weights of a CPU under that name would be a false statement.
        raise ApplianceError(
            codes.GPU_UNUSABLE, f"torch {torch.__version__} for CUDA {torch.version.cuda} finds no GPU"
        )
    return torch.device("cuda" if gpu else "cpu")


def _descend(model: Any, count: int, loss: Any, *, epochs: int, batch: int, learning_rate: float, seed: int) -> None:
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    for _ in range(epochs):
        for chosen in torch.randperm(count, generator=order).split(batch):
            optimizer.zero_grad(set_to_none=True)
            loss(chosen).backward()
            optimizer.step()


def _array(tensor: Any) -> Floats:
    array: Floats = np.ascontiguousarray(tensor.detach().cpu().numpy())
    return array
