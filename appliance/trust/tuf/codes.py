"""Error codes of `appliance.trust.tuf`."""

from appliance.base.errors import EXIT_USAGE, EXIT_VERIFICATION, declare

ROLLED_BACK = declare(
    "APL-TUF-001",
    "The medium is older than what was seen before",
    meaning="Its metadata goes back behind what this machine believed already, or mixes versions. A revocation that "
    "was taken in would be undone. What is believed has not changed.",
    action="Use a newer medium. If nobody swapped it by mistake, find out who wants an old state back.",
    exit_code=EXIT_VERIFICATION,
)
EXPIRED = declare(
    "APL-TUF-002",
    "The metadata had expired at the witnessed time",
    meaning="Judged at the newest time that witnesses signed for, never at this machine's clock.",
    action="Ask the custodians and the publisher for a newer medium.",
    exit_code=EXIT_VERIFICATION,
)
TOO_FEW_SIGNATURES = declare(
    "APL-TUF-003",
    "Metadata lacks signatures",
    meaning="It is not signed by the threshold of its role's keys, by two classical keys, and by the ML-DSA-65 key "
    "where the role has one; or it is signed by keys that were replaced since.",
    action="Do not use the medium. A custodian finds out which signatures are missing.",
    exit_code=EXIT_VERIFICATION,
)
TARGET_ALTERED = declare(
    "APL-TUF-004",
    "A target is not what the custodians signed",
    meaning="Length or digest of the file differ from the signed ones. It was not written anywhere.",
    action="Do not use the medium; get a clean copy.",
    exit_code=EXIT_VERIFICATION,
)
ROOT_NOT_PINNED = declare(
    "APL-TUF-005",
    "The first root is not the pinned one",
    meaning="The digest that was written down at the ceremony is not the digest of this root: it may be of another "
    "site, or forged.",
    action="Compare with the digest on paper. Believe nothing on this medium until both agree.",
    exit_code=EXIT_VERIFICATION,
)
FILE_MISSING = declare(
    "APL-TUF-006",
    "A file is missing on the medium",
    meaning="Metadata names a file that the source does not have, or that is not a plain file.",
    action="Copy the repository again, with its folders metadata and targets.",
    exit_code=EXIT_VERIFICATION,
)
SOURCE_REFUSED = declare(
    "APL-TUF-007",
    "This source is not allowed",
    meaning="Trust roots are read from a folder or from this machine's own loopback address, from nowhere else.",
    action="Name a folder, a file: address, or an http: address with a loopback number such as 127.0.0.1.",
    exit_code=EXIT_USAGE,
)
METADATA_INVALID = declare(
    "APL-TUF-008",
    "Metadata is not valid",
    meaning="The file is not TUF metadata of the expected role and version in the form that this product writes.",
    action="Do not use the medium; get a clean copy.",
    exit_code=EXIT_VERIFICATION,
)
REPOSITORY_EXISTS = declare(
    "APL-TUF-009",
    "The folder holds a repository already",
    meaning="A repository is made once; another root would be another site to every client.",
    action="Update the repository that is there, or name another folder.",
    exit_code=EXIT_USAGE,
)
SIGNING_FILE_REFUSED = declare(
    "APL-TUF-010",
    "A signing request or response does not fit",
    meaning="The file is absent, malformed, belongs to another draft, or its text differs from what would be signed.",
    action="Draft, sign and assemble in this order; make the request again where the message says that it differs.",
    exit_code=EXIT_VERIFICATION,
)
KEY_NOT_IN_ROLE = declare(
    "APL-TUF-011",
    "The key does not belong to the role",
    meaning="The metadata does not name this key for the role, so a signature by it would count nowhere.",
    action="Sign with the key that the root names; a new custodian enters by a new root first.",
    exit_code=EXIT_USAGE,
)
TARGET_UNKNOWN = declare(
    "APL-TUF-012",
    "There is no target of this name",
    meaning="The signed list of targets does not hold the name.",
    action="Name one of the listed targets.",
    exit_code=EXIT_USAGE,
)
DRAFT_REFUSED = declare(
    "APL-TUF-013",
    "The change cannot be published",
    meaning="The keys, names or versions of the draft break a rule of the repository. Nothing was written.",
    action="Correct what the message names and make a new draft.",
    exit_code=EXIT_USAGE,
)
FORKED = declare(
    "APL-TUF-014",
    "Two media of the same version differ",
    meaning="Somebody signed two different states with the publisher's key: one of them is not the site's.",
    action="Keep both media and call the custodians; the publisher's key may have been stolen.",
    exit_code=EXIT_VERIFICATION,
)
NOTHING_BELIEVED = declare(
    "APL-TUF-016",
    "The state folder believes no root yet",
    meaning="The first root is believed because its digest was compared with the one on paper; here none was.",
    action="Run appliance trust media-init with the digest that was written down at the ceremony.",
    exit_code=EXIT_USAGE,
)
SOURCE_UNREACHABLE = declare(
    "APL-TUF-015",
    "The source cannot be read",
    meaning="The medium or the server on the loopback address gave an error.",
    action="Check that the medium is mounted or the server runs, then try again.",
)
