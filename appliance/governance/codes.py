"""Error codes of `appliance.governance` (audit, roles, models; lineage declares its own)."""

from appliance.base.errors import EXIT_APPROVAL, EXIT_USAGE, EXIT_VERIFICATION, declare

AUDIT_UNWRITABLE = declare(
    "APL-AUDIT-001",
    "The audit record cannot be written",
    meaning="Every change is recorded before it is made. The record could not be written, so nothing was changed.",
    action="Free space, repair the disk or restore the role key, then run the command again.",
)
AUDIT_BROKEN = declare(
    "APL-AUDIT-002",
    "The audit chain is broken",
    meaning="An audit record was altered, removed or inserted, or is not signed by an enrolled role key.",
    action="Keep the files as evidence; compare them with a trusted copy from before the named record.",
    exit_code=EXIT_VERIFICATION,
)
AUDIT_UNKNOWN = declare(
    "APL-AUDIT-003",
    "There is no such audit record",
    meaning="The number is not that of an audit record in this site's log.",
    action="List the records: appliance audit list.",
    exit_code=EXIT_USAGE,
)
AUDIT_MISSING = declare(
    "APL-AUDIT-004",
    "A change without an audit record",
    meaning="Something tried to change the site before its intent was recorded. It was refused.",
    action="This is a fault of the program that asked: it must begin an audit record first.",
)
ROLE_UNKNOWN = declare(
    "APL-ROLE-001",
    "Not a role",
    meaning="The roles are operator, data-engineer, data-scientist, approver and auditor.",
    action="Use one of the five.",
    exit_code=EXIT_USAGE,
)
PACKAGE_INVALID = declare(
    "APL-MODEL-001",
    "The model package is not valid",
    meaning="package.json has an unknown, missing or malformed field, or a file of the package is not as it says.",
    action="Build the package again with appliance train run; do not edit it by hand.",
    exit_code=EXIT_VERIFICATION,
)
DUTY_MISSING = declare(
    "APL-MODEL-002",
    "The model lacks an owner, an SLO or a staleness limit",
    meaning="A model that nobody answers for, or that may grow old unnoticed, is not registered.",
    action="Declare owner, slo and staleness in the recipe, then train again.",
)
ALREADY_REGISTERED = declare(
    "APL-MODEL-003",
    "The model is registered already",
    meaning="A version with the same artifact id exists: same code, data, settings and seed. Versions never change.",
    action="Use the registered version, or change what should differ and train again.",
)
NOT_BETTER = declare(
    "APL-MODEL-004",
    "The candidate is not better",
    meaning="On the same holdout its primary metric is equal to or worse than that of the version it would replace.",
    action="Keep the version that is there, or improve the recipe.",
)
MODEL_UNKNOWN = declare(
    "APL-MODEL-005",
    "There is no such model version",
    meaning="The registry holds no version with this name and number.",
    action="List the versions: appliance model list.",
    exit_code=EXIT_USAGE,
)
STAGE_REFUSED = declare(
    "APL-MODEL-006",
    "This move between stages is not allowed",
    meaning="Stages are candidate, approved, live, retired; a version goes forward, and back to live by rollback.",
    action="Show the version with appliance model show, and take the step that comes next.",
)
APPROVAL_MISSING = declare(
    "APL-MODEL-007",
    "The model is not approved",
    meaning="No valid approval statement for exactly this package was found.",
    action="Ask the approver to run: appliance model approve NAME/VERSION --reason TEXT.",
    exit_code=EXIT_APPROVAL,
)
APPROVAL_SAME_KEY = declare(
    "APL-MODEL-008",
    "The approver is the registrar",
    meaning="The approval is signed by the same key that registered the model; two people must agree.",
    action="Have it approved by somebody who holds another key.",
    exit_code=EXIT_APPROVAL,
)
APPROVAL_EXPIRED = declare(
    "APL-MODEL-009",
    "The approval has expired",
    meaning="An approval holds until its date; after it the model must be looked at again.",
    action="Ask the approver for a new approval.",
    exit_code=EXIT_APPROVAL,
)
MODEL_TAMPERED = declare(
    "APL-MODEL-010",
    "A file of the model was altered",
    meaning="A file of the registered package is not the file that was signed, or is missing, or was added.",
    action="Do not load it. Restore the package from a trusted copy, or roll back to another version.",
    exit_code=EXIT_VERIFICATION,
)
MODEL_UNSIGNED = declare(
    "APL-MODEL-011",
    "The model has no valid signed statement",
    meaning="The statement that binds the package to its maker is missing or does not verify.",
    action="Do not load it. Restore trust/bundles from a trusted copy, or register the package again.",
    exit_code=EXIT_VERIFICATION,
)
MODEL_RETIRED = declare(
    "APL-MODEL-012",
    "The model is retired",
    meaning="A retired version serves no more.",
    action="Promote another version.",
)
REGISTRY_ALTERED = declare(
    "APL-MODEL-013",
    "The registry disagrees with the signed record",
    meaning="The stage in the registry is not the one that the signed moves in the transparency log lead to.",
    action="Somebody changed the registry by hand. Find out who; do not load the model until then.",
    exit_code=EXIT_VERIFICATION,
)
REGISTRY_UNWRITABLE = declare(
    "APL-MODEL-014",
    "The registry cannot be read or written",
    meaning="The registry's database or folder is full, locked or damaged. Nothing was changed.",
    action="Free space or repair the disk, then run the command again.",
)
NO_ROLLBACK = declare(
    "APL-MODEL-015",
    "There is nothing to roll back to",
    meaning="No version was live before the present one.",
    action="Promote an approved version instead.",
)
APPROVALS_TOO_FEW = declare(
    "APL-MODEL-016",
    "Too few different people approved",
    meaning="The trust policy asks for a number of approvals by different people before a model may be loaded.",
    action="Have others approve it: appliance model approve NAME/VERSION --as approver/PERSON.",
    exit_code=EXIT_APPROVAL,
)
