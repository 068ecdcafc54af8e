"""Error codes of `appliance.ingestion.sensitive`."""

from appliance.base.errors import EXIT_APPROVAL, EXIT_USAGE, EXIT_VERIFICATION, declare

SUBJECT_UNKNOWN = declare(
    "APL-SENSITIVE-001",
    "Nothing is kept of this subject",
    meaning="No table that a mapping declares a subject for has a row of it, and it has no data key.",
    action="Check the id; appliance table tags NAME names the column that it stands in.",
    exit_code=EXIT_USAGE,
)
ERASURE_UNAPPROVED = declare(
    "APL-SENSITIVE-002",
    "The erasure is not approved",
    meaning="An erasure cannot be undone; a second person with another key must agree to it. The request is recorded.",
    action="Ask an approver to run appliance subject approve ID --as approver/NAME --reason TEXT, then run this again.",
    exit_code=EXIT_APPROVAL,
)
NOT_SEALED = declare(
    "APL-SENSITIVE-003",
    "Not in the form of sealed data",
    meaning="A value of a sealed column, or a stored file, does not have the form that sealing gives it.",
    action="Restore it from a trusted copy; appliance verify names what was altered.",
    exit_code=EXIT_VERIFICATION,
)
COLUMN_REFUSED = declare(
    "APL-SENSITIVE-004",
    "Training may not read this column",
    meaning="It is tagged as sensitive, or it holds what looks sensitive and nobody declared what it is.",
    action="Leave it out of features and recipes, or declare in the drop's mapping what it is.",
)
COLUMN_CHANGED = declare(
    "APL-SENSITIVE-005",
    "A column of the table cannot be sealed under its name",
    meaning="The table holds the column as another type than text, from a time when the mapping did not seal it.",
    action="Give the sealed column another name in the mapping.",
    exit_code=EXIT_USAGE,
)
