"""What only a host with a GPU can show: the torch recipes on the device, watched by NVML, beside the same on the CPU.

Steps
1. Each torch recipe runs on the GPU and on the CPU, from the same pinned training set.
2. The identity of the first names the GPU, and the driver saw memory, power, temperature and energy of the run.
3. The scores of both are equal within `TOLERANCE`: the device is a matter of time, not of quality.
4. The exported model answers as the trained one does (the job's own parity gate).
5. A second run on the GPU: whether its bytes are those of the first is reported, not asked.
6. A job that the GPU is hidden from fails with APL-TRAINING-011.
7. Telemetry at 1 Hz costs at most `TELEMETRY_SHARE` of a core.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from appliance.base import process
from appliance.base.errors import ApplianceError
from appliance.observability.gpu import GpuSampler, gpu_name
from appliance.training.environment import default_python
from appliance.training.run import identity_for, read_outcome, run_job_process
from tests.integration.training.synthetic_site import LOCK, make_site

RECIPES = {"incident_risk_torch": "roc_auc", "ett_forecast_torch": "mse_96"}
TOLERANCE = 0.01
TELEMETRY_SHARE = 0.001  # of a core at 1 Hz, DESIGN section 8
TELEMETRY_SAMPLES = 20
FIELDS = ("utilisation_percent", "memory_used_bytes", "power_watts", "temperature_celsius")


def prove(folder: Path) -> Mapping[str, Any]:
    """Figures of the run; AssertionError where a step does not hold, or there is no GPU."""
    name = gpu_name()
    assert name is not None, "no GPU: the driver reports none"
    python = Path(os.environ.get("APPLIANCE_TRAINING_PYTHON") or default_python())
    torch = process.run([python, "-c", "import torch; print(torch.__version__)"], timeout_s=120).stdout.decode().strip()
    site = make_site(folder, python)
    figures: dict[str, Any] = {"gpu": name, "torch": torch, "telemetry_core_share": _telemetry_share()}
    for model, metric in RECIPES.items():
        figures[model] = _compare(site, model, metric, f"gpu-{name}")
    figures["hidden_gpu"] = _hidden(site)
    assert figures["telemetry_core_share"] <= TELEMETRY_SHARE, figures
    return figures


def _compare(site: SimpleNamespace, model: str, metric: str, hardware: str) -> dict[str, Any]:
    recipe = site.recipes[model]
    on_cpu = msgspec.structs.replace(recipe, estimator=msgspec.structs.replace(recipe.estimator, device="cpu"))
    runs = {"gpu": recipe, "gpu-again": recipe, "cpu": on_cpu}
    figures: dict[str, Any] = {}
    for run, chosen in runs.items():
        pinned = site.trainer.pin(chosen)
        identity = identity_for(chosen, pinned.digest, site.trainer.views, environment=LOCK, threads=2)
        assert identity.hardware == ("cpu-x86_64-avx2" if run == "cpu" else hardware), identity.hardware
        target = site.folder / "runs" / f"{model}-{run}"
        telemetry = run_job_process(identity, pinned.folder, target, python=site.trainer.python, timeout_s=300)
        figures[run] = {"score": _score(target, metric), "closed": read_outcome(target)["closed"], **telemetry}
        assert "parity" not in figures[run]["closed"], figures[run]
    for run in ("gpu", "gpu-again"):
        (device,) = figures[run]["gpu"]["devices"]
        assert all(field in device for field in FIELDS), device
        assert device["memory_used_bytes"]["max"] > 0 < device["energy_joules"], device
    assert abs(figures["gpu"]["score"] - figures["cpu"]["score"]) <= TOLERANCE, figures
    figures["same_bytes_again"] = _model(site, model, "gpu") == _model(site, model, "gpu-again")
    return figures


def _result(target: Path) -> Path:
    return next(path for path in (target / "package", target / "refused") if path.is_dir())


def _model(site: SimpleNamespace, model: str, run: str) -> bytes:
    return (_result(site.folder / "runs" / f"{model}-{run}") / "model.onnx").read_bytes()


def _score(target: Path, metric: str) -> float:
    metrics = json.loads((_result(target) / "metrics.json").read_bytes())
    if metric == "mse_96":
        return float(metrics["horizons"]["96"]["mse"]["value"])
    return float(metrics["test"][metric]["value"])


def _hidden(site: SimpleNamespace) -> str:
    recipe = site.recipes["incident_risk_torch"]
    pinned = site.trainer.pin(recipe)
    identity = identity_for(recipe, pinned.digest, site.trainer.views, environment=LOCK, threads=2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ApplianceError, match="APL-TRAINING-011"):
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        run_job_process(
            identity, pinned.folder, site.folder / "runs" / "hidden", python=site.trainer.python, timeout_s=300
        )
    return "APL-TRAINING-011"


def _telemetry_share() -> float:
    """Processor time of the sampling thread, as a share of one core."""
    with GpuSampler() as sampler:
        (thread,) = (each for each in threading.enumerate() if each.name == "gpu-telemetry")
        time.sleep(2.5)  # the first sample loads what the next ones have
        before = _cpu_s(thread)
        time.sleep(TELEMETRY_SAMPLES)
        share = (_cpu_s(thread) - before) / TELEMETRY_SAMPLES
    assert sampler.summary()["devices"][0]["samples"] >= TELEMETRY_SAMPLES
    return round(share, 6)


def _cpu_s(thread: threading.Thread) -> float:
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
