"""Error codes of `appliance.governance.lineage`."""

from appliance.base.errors import declare

LINEAGE_MISSING = declare(
    "APL-LINEAGE-001",
    "A lineage document is missing",
    meaning="An artifact names a document that says what it rests on, and the document is not there.",
    action="Restore the lineage folder from a trusted copy; until then the artifact cannot be verified.",
    exit_code=3,
)
LINEAGE_ALTERED = declare(
    "APL-LINEAGE-002",
    "A lineage document was altered",
    meaning="A document is named by the digest of its canonical bytes; these bytes have another digest or form.",
    action="Treat the site as tampered with: compare with the transparency log and restore from a trusted copy.",
    exit_code=3,
)
