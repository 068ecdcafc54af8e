"""Error codes of `appliance.serving`."""

from appliance.base.errors import declare

REQUEST_INVALID = declare(
    "APL-SERVE-001",
    "The request is not valid",
    meaning="A field of the prediction request is missing, unknown or of the wrong type.",
    action="Correct the named field; a request is {entity: ID, at: RFC 3339}.",
    exit_code=2,
)
NO_SUCH_MODEL = declare(
    "APL-SERVE-002",
    "No such model is served",
    meaning="The gateway has no route of that name.",
    action="List what is served with appliance serve status.",
    exit_code=2,
)
NOT_RUNNING = declare(
    "APL-SERVE-003",
    "The gateway does not run",
    meaning="Nothing answers on the gateway's port.",
    action="Start it with appliance serve start, and read logs/gateway.log if it stops again.",
)
NOT_READY = declare(
    "APL-SERVE-004",
    "A service did not become ready",
    meaning="A process that the appliance started did not answer in time, or ended.",
    action="Read the named log file.",
)
BAD_ROUTES = declare(
    "APL-SERVE-005",
    "The routes file is not valid",
    meaning="The gateway keeps the last valid routes and does not take this file.",
    action="Write routes only with appliance model and appliance pipeline commands.",
)
MODEL_REFUSED = declare(
    "APL-SERVE-006",
    "The model may not be loaded",
    meaning="A file of the package, its signature or its approval does not hold. Not one byte of it was loaded.",
    action="Read the reason; verify the model with appliance verify NAME/VERSION and restore or re-approve it.",
    exit_code=3,
)
SEGMENT_BROKEN = declare(
    "APL-SERVE-007",
    "A prediction segment is damaged",
    meaning="A line in the middle of a closed segment of the prediction log is not a record.",
    action="Keep the file; the records before it are in the lake. Report the damage to the auditor.",
)
REQUEST_TOO_LARGE = declare(
    "APL-SERVE-008",
    "The request is too large",
    meaning="A prediction request is a few hundred bytes; this one was refused before it was read whole.",
    action="Send one entity per request.",
    exit_code=2,
)
NOT_A_PREDICTION = declare(
    "APL-SERVE-009",
    "A record of the prediction topic is no prediction of this site",
    meaning="Somebody else than this site wrote to the topic of kafka.predictions, or the gateway's files were "
    "exchanged: what came out is not what they say. Nothing behind the last commit was taken, and nothing is lost: the "
    "gateway's files hold every prediction.",
    action="Find who may write to the topic and take the right away. Then go on with another topic: name it in "
    "kafka.predictions.",
    exit_code=3,
)
SEGMENTS_MISSING = declare(
    "APL-SERVE-010",
    "The prediction topic lacks a segment",
    meaning="Segments of the prediction log are numbered without gaps, and the next one that the table needs is not "
    "there: the broker deleted it, or it was never written. Nothing behind the gap was taken, and nothing is lost: the "
    "gateway's files hold every prediction.",
    action="Set kafka.predictions to the empty text, run appliance serve flush, and set it again.",
)
