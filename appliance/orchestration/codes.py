"""Error codes of `appliance.orchestration`."""

from appliance.base.errors import declare

GATE_FAILED = declare(
    "APL-PIPE-001",
    "A gate of the pipeline failed",
    meaning="A step measured something that is outside its limit. The run has ended; what is live stays live.",
    action="Read the reason, mend the cause, and start a new run.",
)
NEEDS_APPROVAL = declare(
    "APL-PIPE-002",
    "The candidate waits for approval",
    meaning="Nothing is served that a second person has not approved. The run goes on when it has been.",
    action="As approver: appliance model approve NAME/VERSION --reason TEXT; then run the pipeline again.",
    exit_code=5,
)
NO_SUCH_RUN = declare(
    "APL-PIPE-003",
    "No such pipeline run",
    meaning="There is no journal of that id.",
    action="List the runs with appliance pipeline list.",
    exit_code=2,
)
JOURNAL_BROKEN = declare(
    "APL-PIPE-004",
    "The journal of a run cannot be read",
    meaning="The journal is written atomically, so this is damage from outside.",
    action="Keep the file for the auditor and start a new run; steps that were done are found done again.",
)
NO_TRAFFIC = declare(
    "APL-PIPE-005",
    "No traffic to judge by",
    meaning="A shadow or canary that saw fewer requests than the site asks for has proved nothing.",
    action="Let the gateway record requests first, or lower pipeline.replay_requests for this site.",
)
NOT_BETTER = declare(
    "APL-PIPE-006",
    "The candidate is not better",
    meaning="The registry holds a version that is equal or better on the same data; no version was added.",
    action="Nothing needs doing. Change the recipe or wait for more data.",
)
BUSY = declare(
    "APL-PIPE-007",
    "A run of this recipe is under way",
    meaning="Another process moves the run; two at once would do every step twice.",
    action="Wait for it, or look with appliance pipeline list.",
)
UNKNOWN_SUBJECT = declare(
    "APL-VERIFY-001",
    "Nothing by that id",
    meaning="It is no prediction, model version, lineage document, table or file that this site knows.",
    action="Copy the id from appliance model list, or from the answer of a prediction; a path must be inside the site.",
    exit_code=3,
)
