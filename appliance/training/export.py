"""Writes models as ONNX and runs them the way serving does. Runs in the training environment.

Rules
1. One interface: classifiers take ``features`` float32 (N, F) and give ``score`` float32 (N,); forecasters take
   ``window`` float32 (N, L, C) in the units of the series and give ``h<H>`` float32 (N, H, C) per horizon.
2. Operator set and IR version are fixed, names are ours, no time stamp and no side file: same weights, same bytes.
3. Parity is measured on every held-out row; the tolerance is the recipe's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
TREE_OPSET = 3  # ai.onnx.ml
IR_VERSION = 9
PRODUCER = "appliance"

Floats = NDArray[np.float32]


def sklearn_graph(model: Any, features: int) -> bytes:
    """A fitted scikit-learn classifier, converted by skl2onnx and reduced to the one output."""
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    converted = to_onnx(
        model,
        initial_types=[("features", FloatTensorType([None, features]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": OPSET, "ai.onnx.ml": TREE_OPSET},
        name="classifier",
    )
    graph = converted.graph
    probabilities = graph.output[1].name
    graph.initializer.append(numpy_helper.from_array(np.array(1, np.int64), "positive_class"))
    graph.node.append(helper.make_node("Gather", [probabilities, "positive_class"], ["score"], axis=1))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("score", TensorProto.FLOAT, [None]))
    return _bytes(graph, ml=True)


def mlp_graph(mean: Floats, scale: Floats, layers: Sequence[tuple[Floats, Floats]]) -> bytes:
    """Standardise, then Gemm and Relu per layer, then Sigmoid."""
    constants = {"mean": mean, "scale": scale, "first_column": np.array(0, np.int64)}
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["layer0"]),
    ]
    for index, (weight, bias) in enumerate(layers):
        constants[f"weight{index}"], constants[f"bias{index}"] = weight, bias
        last = index == len(layers) - 1
        out = "logits" if last else f"linear{index}"
        nodes.append(helper.make_node("Gemm", [f"layer{index}", f"weight{index}", f"bias{index}"], [out]))
        if not last:
            nodes.append(helper.make_node("Relu", [out], [f"layer{index + 1}"]))
    nodes += [
        helper.make_node("Gather", ["logits", "first_column"], ["logit"], axis=1),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(mean)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _bytes(graph, ml=False)


def forecast_graph(
    lookback: int, channels: int, maps: Mapping[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
) -> bytes:
    """Linear maps of the last-value-subtracted window.

    Args:
        maps: horizon -> weight (L, H) and bias (H, C) in the units of the series.
    """
    constants: dict[str, NDArray[Any]] = {"last_step": np.array([lookback - 1], np.int64)}
    nodes = [
        helper.make_node("Gather", ["window", "last_step"], ["last"], axis=1),
        helper.make_node("Sub", ["window", "last"], ["moved"]),
        helper.make_node("Transpose", ["moved"], ["by_channel"], perm=[0, 2, 1]),
    ]
    outputs = []
    for horizon, (weight, bias) in sorted(maps.items()):
        name = f"h{horizon}"
        constants[f"weight_{name}"] = weight.astype(np.float32)
        constants[f"bias_{name}"] = bias.astype(np.float32)
        nodes += [
            helper.make_node("MatMul", ["by_channel", f"weight_{name}"], [f"moved_{name}"]),
            helper.make_node("Transpose", [f"moved_{name}"], [f"steps_{name}"], perm=[0, 2, 1]),
            helper.make_node("Add", [f"steps_{name}", "last"], [f"level_{name}"]),
            helper.make_node("Add", [f"level_{name}", f"bias_{name}"], [name]),
        ]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, horizon, channels]))
    graph = helper.make_graph(
        nodes,
        "forecaster",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, [None, lookback, channels])],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return _bytes(graph, ml=False)


class Runtime:
    """An ONNX Runtime session with one thread: the same scores on every machine of the class."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def score(self, rows: Floats) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = self._session.run(["score"], {"features": rows})[0].astype(np.float64)
        return scores

    def forecast(self, windows: Floats, horizon: int) -> Floats:
        values: Floats = self._session.run([f"h{horizon}"], {"window": windows})[0]
        return values


def _bytes(graph: Any, *, ml: bool) -> bytes:
    opsets = [helper.make_opsetid("", OPSET)]
    if ml:
        opsets.append(helper.make_opsetid("ai.onnx.ml", TREE_OPSET))
    model = helper.make_model(graph, opset_imports=opsets, producer_name=PRODUCER, ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data
