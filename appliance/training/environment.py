"""What a training job runs on, and how its arithmetic is pinned.

Rules
1. A job sees the same instruction set everywhere: AVX2 kernels of NumPy, OpenBLAS, MKL and oneDNN, even where the
   processor has wider ones, because wider kernels add in another order. The hardware class says so.
2. Threads are a setting and part of the identity; libraries split work by it and not by the load of the machine.
3. The code digest covers the two rooms that decide a model's bytes: features and training.
"""

from __future__ import annotations

import os
from pathlib import Path

import appliance
from appliance.base.digest import digest_file, digest_json

CPU_CLASS = "cpu-x86_64-avx2"
CODE_ROOMS = ("features", "training")
ROOT = Path(appliance.__file__).resolve().parent


def code_digest() -> str:
    """The digest over every source file of `CODE_ROOMS`."""
    files = sorted(path for room in CODE_ROOMS for path in (ROOT / room).rglob("*.py"))
    return digest_json({path.relative_to(ROOT).as_posix(): digest_file(path) for path in files})


def default_python() -> Path:
    """The interpreter of the training environment beside the installed product."""
    return ROOT.parent / ".venv-training" / "bin" / "python"


def job_environment(threads: int, *, gpu: bool) -> dict[str, str]:
    """Environment variables of a job, above `base.process.environment`."""
    count = str(threads)
    pinned = {
        "PYTHONPATH": os.pathsep.join([str(ROOT.parent)]),
        "PYTHONHASHSEED": "0",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "NUMEXPR_NUM_THREADS": count,
        "OMP_DYNAMIC": "FALSE",
        "MKL_DYNAMIC": "FALSE",
        "OPENBLAS_CORETYPE": "Haswell",
        "MKL_CBWR": "AVX2,STRICT",  # conditional numerical reproducibility, oneMKL developer guide
        "DNNL_MAX_CPU_ISA": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # torch.use_deterministic_algorithms asks for it
    }
    if not gpu:
        pinned["CUDA_VISIBLE_DEVICES"] = ""
    return pinned
