"""ETTh1: the product's closed-form ridge against repeating the last value, by the papers' protocol.

    TRAINING_PYTHON benchmarks/ett.py [--json] [--small] [--data ETTh1.csv]

Runs in the training environment (ONNX Runtime judges the exported model). Goals per horizon are the anchors of the
literature that the ridge must hold: NLinear and PatchTST at look-back 336 are at .374/.408/.429/.440 and
.375/.414/.431/.449. `ratio` is the goal over our error, the worst of the horizons.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.csv

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from appliance.training.forecaster import export_maps, fit_ridge, measure_errors, standardise
from appliance.training.recipe import find_recipe, load_recipes

GOALS = {96: 0.373, 192: 0.406, 336: 0.428, 720: 0.424}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--small", action="store_true", help="the first two horizons, for CI")
    parser.add_argument("--data", type=Path, default=ROOT / "tests" / "data" / "ett" / "ETTh1.csv")
    options = parser.parse_args()
    recipe = find_recipe(load_recipes(ROOT / "appliance" / "demo" / "declarations" / "recipes"), "ett_forecast_ridge")
    horizons = [96, 192] if options.small else list(GOALS)
    recipe = msgspec.structs.replace(recipe, horizons=horizons)
    series: pa.Table = pa.csv.read_csv(options.data)
    series = series.rename_columns([name.lower() for name in series.column_names])  # as the drop mapping names them
    scaled = standardise(recipe, series)
    started = time.perf_counter()
    maps = {h: fit_ridge(recipe, scaled, h, tuple(recipe.estimator.strengths)) for h in horizons}
    fit_s = time.perf_counter() - started
    errors = measure_errors(recipe, scaled, maps, export_maps(recipe, scaled, maps))
    worst = min(horizons, key=lambda h: GOALS[h] / errors[h].mse.value)
    ratio = GOALS[worst] / errors[worst].mse.value
    target = recipe.series.channels.index(recipe.series.target)
    result = {
        "name": "ett",
        "peer": round(errors[worst].repeat_last_mse, 4),
        "ours": round(errors[worst].mse.value, 4),
        "unit": f"mse at {worst} steps",
        "ratio": round(ratio, 4),
        "goal": 1.0,
        "holds": ratio >= 1.0,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{'steps':>6}{'MSE':>9}{'goal':>8}{'MAE':>9}{'OT MSE':>9}{'repeat last':>13}")
        for h in horizons:
            found = errors[h]
            print(
                f"{h:6}{found.mse.value:9.4f}{GOALS[h]:8.3f}{found.mae.value:9.4f}{found.channel_mse[target]:9.4f}"
                f"{found.repeat_last_mse:13.4f}"
            )
        print(f"fit and selection {fit_s:.1f} s; {'holds' if result['holds'] else 'MISSED'}")
    return 0 if result["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
