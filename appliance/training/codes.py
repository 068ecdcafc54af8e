"""Error codes of `appliance.training`."""

from appliance.base.errors import declare

RECIPE_INVALID = declare(
    "APL-TRAINING-001",
    "A recipe is not valid",
    meaning="The declaration contradicts itself or names something that is not there.",
    action="Correct the named entry in declarations/recipes, then run the command again; nothing was changed.",
    exit_code=2,
)
UNKNOWN_RECIPE = declare(
    "APL-TRAINING-002",
    "No such recipe",
    meaning="No file under declarations/recipes declares a model of that name.",
    action="List what there is: appliance train list.",
    exit_code=2,
)
JOB_FAILED = declare(
    "APL-TRAINING-003",
    "The training job failed",
    meaning="The job ended without a result: its environment is missing or broken, or it ran past its time limit.",
    action="Read job.log in the run's folder; check that the training environment is installed.",
)
HONESTY_GAP = declare(
    "APL-TRAINING-004",
    "The model owes its score to data it could not have known",
    meaning="Trained and judged on event time alone the recipe looks better, by more than its margin, than with what "
    "was known at each instant: something in it arrives after the fact.",
    action="Remove the feature that arrives late, or correct its arrival time. The gap stands in the run's report.",
)
METRIC_TOO_LOW = declare(
    "APL-TRAINING-005",
    "The model is below the least metric of its recipe",
    meaning="On the held-out part the model does not reach what its recipe promises.",
    action="Look at slices and calibration in the run's report; do not lower the gate without the owner.",
)
BASELINE_NOT_BEATEN = declare(
    "APL-TRAINING-006",
    "The model does not beat its baseline",
    meaning="A simpler rule does as well on the same held-out rows, so the model earns nothing for its cost.",
    action="Keep the simpler model. The comparison stands in the run's report.",
)
PARITY_BROKEN = declare(
    "APL-TRAINING-007",
    "The exported model answers otherwise than the trained one",
    meaning="ONNX Runtime and the training library differ on held-out rows by more than the tolerance.",
    action="Do not serve it. Check the estimator and the versions in the lock.",
)
TOO_FEW_LABELS = declare(
    "APL-TRAINING-008",
    "Too few labels to train or judge",
    meaning="A part of the split has no positive or no negative rows, so that no metric of it means anything.",
    action="Wait for labels, widen the spine, or change the split.",
)
NOT_REPRODUCED = declare(
    "APL-TRAINING-009",
    "The rebuilt model differs",
    meaning="The same data, recipe, code and environment did not give the same bytes.",
    action="Treat the package as unproven: compare the environment lock and the code with those it names.",
    exit_code=3,
)
NOT_REPRODUCIBLE_HERE = declare(
    "APL-TRAINING-010",
    "The model cannot be rebuilt here",
    meaning="This installation has other code, another environment lock or other hardware than the model was made "
    "with, or its training set is gone, so a difference would prove nothing.",
    action="Use the release that the package names, on the hardware class that it names.",
    exit_code=3,
)
GPU_UNUSABLE = declare(
    "APL-TRAINING-011",
    "The GPU cannot be used by the training environment",
    meaning="The driver reports a GPU and the run is named after it, but the training library cannot compute on it: "
    "most often the driver is older than the library's CUDA, or the device is hidden from the job.",
    action='Compare the driver with the CUDA version in the message, or train with device = "cpu" in the recipe.',
)
# A gate that closes is named by its key in the outcome of a job.
GATES = {
    "honesty": HONESTY_GAP,
    "metric": METRIC_TOO_LOW,
    "baseline": BASELINE_NOT_BEATEN,
    "parity": PARITY_BROKEN,
    "labels": TOO_FEW_LABELS,
}
