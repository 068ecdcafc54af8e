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
POLICY_INVALID = declare(
    "APL-TRUST-016",
    "A trust policy or witness policy is not valid",
    meaning="The file that says who may sign, or which witnesses count, does not have its form.",
    action="Restore the file from the trust medium: it is a target of the TUF repository.",
    exit_code=EXIT_VERIFICATION,
)
WITNESS_MISSING = declare(
    "APL-TRUST-017",
    "The checkpoint is not witnessed as the policy wants",
    meaning="Too few witnesses cosigned this tree, or a line of one does not verify. A log that shows different trees "
    "to different people cannot get these lines.",
    action="Have the newest tree cosigned: appliance trust witness-export. Do not trust this one.",
    exit_code=EXIT_VERIFICATION,
)
ROLLED_BACK = declare(
    "APL-TRUST-018",
    "The log is smaller than it was before",
    meaning="This copy of the log ends before one that you have verified: entries, perhaps a revocation, are left out.",
    action="Ask for the newest copy. If there is none, the site was set back: keep both checkpoints as evidence.",
    exit_code=EXIT_VERIFICATION,
)
FORKED = declare(
    "APL-TRUST-019",
    "The log shows another history than before",
    meaning="Two trees signed by the same log cannot both be right: one does not extend the other.",
    action="Keep the evidence file: it convinces anybody who holds the log's public key. Trust neither tree.",
    exit_code=EXIT_VERIFICATION,
)
STALE = declare(
    "APL-TRUST-020",
    "The log was not witnessed recently enough",
    meaning="No quorum of witnesses has seen this tree since the time that was asked for; newer entries may be hidden.",
    action="Have the newest checkpoint cosigned and export again.",
    exit_code=EXIT_VERIFICATION,
)
OUTSIDE_WINDOW = declare(
    "APL-TRUST-021",
    "A key was used outside its window",
    meaning="The trust policy lets each key count between two log indexes and two signed times; this was outside.",
    action="Do not use the artifact. If the key was retired too early, the custodians can publish a new policy.",
    exit_code=EXIT_VERIFICATION,
)
REVOKED = declare(
    "APL-TRUST-022",
    "What signed this was revoked",
    meaning="The log holds a revocation that covers this signature's identity, key, authority or statement.",
    action="Do not use the artifact. Read the revocation's statement for the reason, and have it signed again.",
    exit_code=EXIT_VERIFICATION,
)
SIGNER_NOT_ALLOWED = declare(
    "APL-TRUST-023",
    "This identity may not sign this kind of statement",
    meaning="The trust policy lists who may sign what; the signature holds, but is not by one of them.",
    action="Have the statement signed by an identity that the policy lists: appliance trust status.",
    exit_code=EXIT_VERIFICATION,
)
APPROVALS_MISSING = declare(
    "APL-TRUST-024",
    "Too few different people approved",
    meaning="The trust policy asks for a number of approvals by different identities; fewer are there.",
    action="Have it approved by more of the approvers that the policy lists.",
    exit_code=EXIT_VERIFICATION,
)
NOT_A_PREFIX = declare(
    "APL-TRUST-025",
    "The statement's tree is not a part of this log",
    meaning="The bundle was entered in another history than the one that the witnesses saw: a fork of the log.",
    action="Do not use the artifact. Keep the evidence file and show it to the log's owner and the witnesses.",
    exit_code=EXIT_VERIFICATION,
)
PACK_INVALID = declare(
    "APL-TRUST-026",
    "The audit pack does not have its form",
    meaning="A file is missing, has a name or kind that is not allowed, or is too large.",
    action="Ask for the pack again: appliance audit export.",
    exit_code=EXIT_VERIFICATION,
)
COSIGNING_REFUSED = declare(
    "APL-TRUST-027",
    "The witness does not cosign this",
    meaning="The request is not by a log that this witness knows, is smaller than what it saw, or does not extend it.",
    action="Do not cosign elsewhere. Keep the request: it may be proof that the log forked.",
    exit_code=EXIT_VERIFICATION,
)
ISSUANCE_UNEXPLAINED = declare(
    "APL-TRUST-028",
    "A certificate was issued that nothing explains",
    meaning="The log holds a certificate that is not by a trusted authority, or not asked for by an enrolled key of "
    "its role: somebody used the issuing key.",
    action="Treat the issuing key as stolen: docs/howto/key_stolen.md.",
    exit_code=EXIT_VERIFICATION,
)
SUBJECT_UNKNOWN = declare(
    "APL-TRUST-029",
    "No statement is about this artifact",
    meaning="No verified statement names the artifact's digest: nobody vouched for these bytes.",
    action="Do not use the artifact; ask for it with the statement that belongs to it.",
    exit_code=EXIT_VERIFICATION,
)
MEMORY_UNREADABLE = declare(
    "APL-TRUST-031",
    "What was seen before cannot be read",
    meaning="The file that remembers the last verified tree is damaged. Without it a rollback would go unnoticed.",
    action="Restore the file from a copy, or write down why it is lost, remove it, and begin again with a fresh copy.",
    exit_code=EXIT_VERIFICATION,
)
CUSTODY_AWAY = declare(
    "APL-TRUST-032",
    "Too few custodian keys are here",
    meaning="A change of what verifiers believe is signed by the custodians, and not enough of their keys are at hand.",
    action="Bring the custodians' keys, or let them sign elsewhere: give the command --draft WORK and go on as in "
    "docs/howto/custodian.md.",
)
CHANGE_REFUSED = declare(
    "APL-TRUST-033",
    "This change of trust is not allowed",
    meaning="It names a key, scope or identity that is not there, would bring a retired key back, or would leave the "
    "site without a key that counts.",
    action="Look at what there is: appliance trust status.",
    exit_code=EXIT_USAGE,
)
NO_EVIDENCE = declare(
    "APL-TRUST-034",
    "The file is no evidence of a fork",
    meaning="It does not hold two checkpoints by the log that exclude each other, with a proof that shows it.",
    action="Do not accuse the log with it. Keep the copies of the log themselves.",
    exit_code=EXIT_VERIFICATION,
)
TARGET_DIFFERS = declare(
    "APL-TRUST-035",
    "A file of the pack is not what the custodians signed",
    meaning="Trust config, policy and witness policy must be the targets of the same name in the TUF repository.",
    action="Do not use the pack. Ask for it again, and find out who changed it.",
    exit_code=EXIT_VERIFICATION,
)
BUNDLE_MALFORMED = declare(
    "APL-TRUST-036",
    "A bundle of the pack has another form",
    meaning="The file holds no Sigstore bundle, or not the bytes that a site writes for one: it was cut, altered, "
    "written by another program, or is something else.",
    action="Ask for the pack again; the statement cannot be judged without it.",
    exit_code=EXIT_VERIFICATION,
)
DATA_KEYS_UNUSABLE = declare(
    "APL-TRUST-037",
    "The data keys cannot be used",
    meaning="The file with the wrapped data keys is missing, damaged, unsafe or was wrapped by another key than the "
    "one in the key store. Nothing was sealed or opened.",
    action="Restore keys/data from the copy that belongs to this key store; appliance site show names the store.",
)
SEALED_ALTERED = declare(
    "APL-TRUST-038",
    "A sealed value does not open",
    meaning="It was altered, was moved to another place, or is under a key that this site never had.",
    action="Restore the table's files from a trusted copy; appliance verify names those that were altered.",
    exit_code=EXIT_VERIFICATION,
)
