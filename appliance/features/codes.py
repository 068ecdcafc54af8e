"""Error codes of `appliance.features`."""

from appliance.base.errors import declare

VIEW_INVALID = declare(
    "APL-FEATURES-001",
    "A feature view is not valid",
    meaning="The declaration contradicts itself: a name twice, a measure without a source, a default that is missing.",
    action="Correct the named entry in declarations/features, then run the command again; nothing was changed.",
    exit_code=2,
)
MIXED_AXES = declare(
    "APL-FEATURES-002",
    "A feature view mixes time axes",
    meaning="Values dated on one axis would be joined with values dated on another, so training and serving would "
    "compute different things (settlement date in one, authorization date in the other).",
    action="Give every source and feature of the view one event axis and one arrival axis, or split the view.",
    exit_code=2,
)
EXPRESSION_INVALID = declare(
    "APL-FEATURES-003",
    "A feature expression is not valid",
    meaning="The expression has a form that the grammar does not know; nothing was compiled.",
    action="Write aggregates such as mean(load, 24h) or last(ambient), joined by + - * / and numbers.",
    exit_code=2,
)
UNKNOWN_FEATURE = declare(
    "APL-FEATURES-004",
    "No such feature or view",
    meaning="A name was asked for that no declared view holds.",
    action="List what there is: appliance feature list.",
    exit_code=2,
)
ONLINE_OUT_OF_REACH = declare(
    "APL-FEATURES-005",
    "The online store does not reach that far back",
    meaning="It keeps only the newest readings; an answer for an older instant would be silently wrong.",
    action="Ask for the historical value instead (appliance feature get --historical).",
)
SPINE_INVALID = declare(
    "APL-FEATURES-006",
    "The spine is not valid",
    meaning="Historical features are asked for with a table of entities and instants; this one has another form.",
    action="Pass the columns entity (string) and at (timestamp[us, UTC]) without nulls.",
    exit_code=2,
)
TRAINING_SET_ALTERED = declare(
    "APL-FEATURES-007",
    "A training set was altered",
    meaning="Its rows no longer have the content digest under which they were pinned.",
    action="Do not train on it. Restore the folder from a trusted copy, or pin a new training set.",
    exit_code=3,
)
TRAINING_SET_EMPTY = declare(
    "APL-FEATURES-008",
    "A training set would hold no usable rows",
    meaning="No row is left inside the time range whose labels are complete, or every row breaks a contract.",
    action="Check that readings and labels were ingested, and that they reach far enough beyond the label horizon.",
)
ONLINE_MISSING = declare(
    "APL-FEATURES-009",
    "The online store was never filled",
    meaning="It holds nothing for the declared views, or was filled for other views than the declared ones.",
    action="Fill it: appliance feature materialize.",
)
