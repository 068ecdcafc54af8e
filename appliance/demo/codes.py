"""Error codes of `appliance.demo`."""

from appliance.base.errors import declare

NOT_OURS = declare(
    "APL-DEMO-001",
    "The folder is not a demo site",
    meaning="The demo replaces a site that it made itself, and nothing else.",
    action="Name another folder with --site, or remove this one yourself.",
    exit_code=2,
)
STEP_FAILED = declare(
    "APL-DEMO-002",
    "A step of the demo failed",
    meaning="A command of the guided run ended with an error. The site is left as it is, for a look.",
    action="Read the command and its error above. Its programs were stopped; run the demo again once mended.",
)
NO_LOOPBACK = declare(
    "APL-DEMO-003",
    "The loopback interface is down",
    meaning="The gateway and its models talk over 127.0.0.1, and this process may not bring the interface up.",
    action="As root: ip link set lo up; then run the demo again.",
    exit_code=4,
)
