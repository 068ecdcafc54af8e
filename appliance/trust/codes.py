"""Error codes of `appliance.trust`."""

from appliance.base.errors import EXIT_USAGE, EXIT_VERIFICATION, declare

ENTRY_TOO_LARGE = declare(
    "APL-TRUST-001",
    "A log entry is too large",
    meaning="An entry of the transparency log holds at most 65535 bytes; this one was not written.",
    action="Log the digest of the content and keep the content in a file.",
)
LOG_BROKEN = declare(
    "APL-TRUST-002",
    "The transparency log does not match its checkpoint",
    meaning="A file of the log was altered, cut or lost: the tree that it gives is not the tree that was signed.",
    action="Stop changing the site. Restore the named file from a trusted copy, then run: appliance trust status.",
    exit_code=EXIT_VERIFICATION,
)
CHECKPOINT_REFUSED = declare(
    "APL-TRUST-003",
    "The checkpoint is not signed by the log",
    meaning="The signed tree head is malformed, names another log, or its signature is not by the log's key.",
    action="Restore the checkpoint from a trusted copy; do not trust anything that rests on this log until then.",
    exit_code=EXIT_VERIFICATION,
)
KEY_UNSAFE = declare(
    "APL-TRUST-004",
    "A private key can be read by others",
    meaning="A private key file must belong to the user who runs the command and have mode 0600.",
    action="Find out who could have read it. If nobody did, run chmod 600 on the file; otherwise replace the key.",
)
KEY_UNUSABLE = declare(
    "APL-TRUST-005",
    "A key is missing or cannot be used",
    meaning="The named key file is absent, not PKCS#8 PEM, or of another algorithm.",
    action="Run the command where the key is kept, or restore the key file.",
)
KEY_EXISTS = declare(
    "APL-TRUST-006",
    "The key exists already",
    meaning="A key is never overwritten: everything that it signed would become unverifiable.",
    action="Use the key that is there.",
    exit_code=EXIT_USAGE,
)
TRUST_EXISTS = declare(
    "APL-TRUST-007",
    "The site has a trust folder already",
    meaning="The signing ceremony never writes over an existing one.",
    action="Use the trust that is there: appliance trust status.",
    exit_code=EXIT_USAGE,
)
TRUST_MISSING = declare(
    "APL-TRUST-008",
    "The site has no trust folder",
    meaning="Nothing can be signed or verified before the signing ceremony.",
    action="Run: appliance trust init.",
    exit_code=EXIT_USAGE,
)
STATEMENT_INVALID = declare(
    "APL-TRUST-009",
    "A statement is not valid",
    meaning="The signed text is not one of our in-toto statements in canonical form.",
    action="Treat the artifact as unsigned; ask its maker for a statement of the named type.",
    exit_code=EXIT_VERIFICATION,
)
SIGNATURE_REFUSED = declare(
    "APL-TRUST-010",
    "The signature does not verify",
    meaning="The bundle was altered, was made by another identity, or its certificate, time or log proof is wrong.",
    action="Do not use the artifact. Restore it from a trusted copy, or have it signed again by the right role.",
    exit_code=EXIT_VERIFICATION,
)
NOT_IN_LOG = declare(
    "APL-TRUST-011",
    "The transparency log does not hold this entry",
    meaning="What is not in the log was not made by this site in the open: it has no place in the chain.",
    action="Do not use the artifact; find out where it comes from.",
    exit_code=EXIT_VERIFICATION,
)
TRUST_CONFIG_INVALID = declare(
    "APL-TRUST-012",
    "The trust config is not valid",
    meaning="The file that names the trusted certificates and log key cannot be read.",
    action="Restore trust-config.json from a trusted copy.",
    exit_code=EXIT_VERIFICATION,
)
CLOCK_REFUSED = declare(
    "APL-TRUST-013",
    "The clock stands outside the certificate authority's lifetime",
    meaning="A signature made now would carry a time at which the authority did not exist, and could never verify.",
    action="Set the clock (a dead clock battery shows as a year like 1970), then run the command again.",
)
TARGET_EXISTS = declare(
    "APL-TRUST-015",
    "The target folder exists",
    meaning="An export never writes into a folder that is there: old and new files would mix.",
    action="Name a folder that does not exist.",
    exit_code=EXIT_USAGE,
)
BUNDLE_MISSING = declare(
    "APL-TRUST-014",
    "A signed statement is missing",
    meaning="The bundle of the named statement is not in the trust folder.",
    action="Restore trust/bundles from a trusted copy.",
    exit_code=EXIT_VERIFICATION,
)
