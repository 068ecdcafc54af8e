"""Error codes of `appliance.bundle`: 001 to 019 building, 020 to 039 verifying, 040 to 059 media and import."""

from appliance.base.errors import declare

DECLARATION_INVALID = declare(
    "APL-BUNDLE-001",
    "The declaration of a bundle is not valid",
    meaning="A file under bundles/ or a role's packages.yml has an unknown key or value, or names what there is not.",
    action="Correct the named key; docs/howto/bundle.md lists them. Nothing was fetched or written.",
    exit_code=2,
)
LOCK_INVALID = declare(
    "APL-BUNDLE-002",
    "The lock of a bundle is not valid",
    meaning="The lock cannot be read, has another form, or names a file twice or by a name that no medium takes.",
    action="Make it anew with appliance bundle lock NAME, and read the difference before it is committed.",
)
NOT_OFFERED = declare(
    "APL-BUNDLE-003",
    "An input is not offered",
    meaning="No source of this machine offers the package or file. Debian keeps only the newest version of a package "
    "in each suite, so a locked one vanishes when a fix is published.",
    action="Lock anew with appliance bundle lock NAME and read the difference. For a package that was never offered, "
    "add the part of Debian that holds it to the sources of this machine's apt.",
)
DIGEST_DIFFERS = declare(
    "APL-BUNDLE-004",
    "An input has another digest than the lock",
    meaning="What came under the locked name and version is another file. It was not put into the store.",
    action="Find out which of both is right before anything else: a source that gives other bytes under an old name "
    "was altered. Lock anew only when the change is explained.",
    exit_code=3,
)
SOURCE_UNREACHABLE = declare(
    "APL-BUNDLE-005",
    "A source of inputs cannot be reached",
    meaning="apt or pip got no answer. What was fetched before is kept.",
    action="Check this machine's network and its configuration of apt and pip, then run the command again: it goes on.",
)
STORE_DAMAGED = declare(
    "APL-BUNDLE-006",
    "The store of inputs is damaged",
    meaning="A file of the store is a link, cannot be read, or is not what its name says.",
    action="Remove the named file and fetch again.",
)
UNRESOLVED = declare(
    "APL-BUNDLE-007",
    "The packages of a bundle do not fit together",
    meaning="apt or pip finds no set of files that satisfies the declaration on the bare host. No lock was written.",
    action="Read the tool's words in the message, and correct the declaration, the role or the pip lock that it names.",
)
SERVER_REFUSED = declare(
    "APL-BUNDLE-008",
    "A built server cannot go into a bundle",
    meaning="The server is not built, has another digest than its recipe, holds a link, or a file with a bad name.",
    action="Run make servers, which checks and builds again; then run the command again.",
)
REPOSITORY_FAILED = declare(
    "APL-BUNDLE-009",
    "The Debian repository of a bundle cannot be made",
    meaning="The folder has a package that the lock does not name, lacks one, or has one that is another inside.",
    action="Remove the folder and assemble again. When it happens again, lock anew.",
)
SIGNING_KEY_REFUSED = declare(
    "APL-BUNDLE-015",
    "The signing key of the Debian repository cannot be used",
    meaning="The folder of the key is open to others, is not a folder of gpg, or holds none or several keys.",
    action="Give a folder of its own with mode 0700, or an absent one where a new key is made.",
)
NO_SPACE = declare(
    "APL-BUNDLE-016",
    "Not enough space for the inputs",
    meaning="The store's disk has less room than the missing inputs need. Nothing was fetched.",
    action="Free space, or run appliance bundle prune; then run the command again.",
)
MANIFEST_INVALID = declare(
    "APL-BUNDLE-020",
    "The manifest of a bundle is not valid",
    meaning="manifest.json is missing, too large, not canonical JSON, or lists a file by a name that cannot be.",
    action="Do not install this medium. Fetch the bundle again from where it was signed.",
    exit_code=3,
)
MEMBER_MISSING = declare(
    "APL-BUNDLE-021",
    "A file of the bundle is missing",
    meaning="The manifest lists a file that does not lie there: the copy is not complete, or it was taken away.",
    action="Copy the bundle again, or join all of its volumes.",
    exit_code=3,
)
MEMBER_EXTRA = declare(
    "APL-BUNDLE-022",
    "A file that no manifest lists",
    meaning="Nobody vouched for this file. Nothing on a medium is installed while one lies there.",
    action="Find out where it comes from; then take the bundle from a clean copy.",
    exit_code=3,
)
MEMBER_CHANGED = declare(
    "APL-BUNDLE-023",
    "A file of the bundle was changed",
    meaning="Its bytes are not those that were signed: a copying error, a failing medium, or tampering.",
    action="Do not install this medium. Copy the bundle again from its source and verify that.",
    exit_code=3,
)
NOT_PLAIN = declare(
    "APL-BUNDLE-024",
    "Not a plain file",
    meaning="A bundle holds plain files with one name each; links, devices and pipes could stand for anything.",
    action="Do not install this medium. Copy the bundle with a tool that writes plain files.",
    exit_code=3,
)
NAME_REFUSED = declare(
    "APL-BUNDLE-025",
    "A file name that no bundle has",
    meaning="The name could leave the folder, hide, be taken for an option, or be another file on another file system.",
    action="Do not install this medium; no tool of ours writes such a name.",
    exit_code=3,
)
NOT_RELEASED = declare(
    "APL-BUNDLE-026",
    "Nobody released this bundle",
    meaning="No release statement that the trust policy accepts names this manifest.",
    action="Do not install this medium. Ask whoever signs releases for the one of this version.",
    exit_code=3,
)
ROLLED_BACK = declare(
    "APL-BUNDLE-027",
    "Older than what this host has seen",
    meaning="A release of this bundle with a higher version was verified here before, or another one with the same.",
    action="Take the newest release. To go back on purpose, use the rollback of the installed release.",
    exit_code=3,
)
UNREADABLE = declare(
    "APL-BUNDLE-028",
    "The medium cannot be read",
    meaning="The operating system gave an error for a file or folder: the medium is failing, or rights are missing.",
    action="Try another drive, then copy the bundle again from its source.",
    exit_code=3,
)
NO_BUNDLE = declare(
    "APL-BUNDLE-029",
    "No bundle here",
    meaning="The folder has no manifest.json, or no trust/ beside it.",
    action="Name the folder in which START-HERE.txt lies.",
    exit_code=2,
)
SOURCE_UNUSABLE = declare(
    "APL-BUNDLE-010",
    "The repository cannot be bundled",
    meaning="A bundle is built from the files under version control here; one of them is missing or a link.",
    action="Build in a clean clone.",
)
TARGET_EXISTS = declare(
    "APL-BUNDLE-011",
    "The target exists",
    meaning="A bundle is never written over another one, nor into a folder with other files.",
    action="Name a new folder, or remove the old one.",
    exit_code=2,
)
INPUT_MISSING = declare(
    "APL-BUNDLE-012",
    "An input is not in the store",
    meaning="The lock names files that were not fetched. Assembling asks no network, so it cannot go on.",
    action="Fetch them: appliance bundle fetch NAME.",
)
INPUT_CHANGED = declare(
    "APL-BUNDLE-013",
    "An input is not what the lock says",
    meaning="A file in the store has other bytes than its name says: a failing disk, or somebody changed it.",
    action="Remove that file from the store and fetch it again.",
    exit_code=3,
)
LAYOUT_REFUSED = declare(
    "APL-BUNDLE-014",
    "A file cannot be in a bundle",
    meaning="Something that goes into the bundle has a name that not every medium takes, or is no plain file.",
    action="Rename it at its source, or leave it out of the declaration.",
)
NO_MEMBER = declare(
    "APL-BUNDLE-030",
    "No such file in the bundle",
    meaning="The manifest lists no file of this name.",
    action="List the names: appliance bundle list FOLDER.",
    exit_code=2,
)
NOT_ASSEMBLED = declare(
    "APL-BUNDLE-017",
    "The bundle was not assembled",
    meaning="The part of the build that runs without a network ended with an error, which the message repeats. Nothing "
    "was left but a draft, which the next build removes.",
    action="Do what the error of the message says, then build again.",
)
NO_ADVISORIES = declare(
    "APL-BUNDLE-018",
    "No advisories",
    meaning="The folder or zip of advisories is not there, cannot be read, or holds no record. Nothing was judged.",
    action="Give a folder or zip of OSV records, as osv.dev publishes them for each ecosystem; docs/howto/bundle.md.",
    exit_code=2,
)
ADVISORY_INVALID = declare(
    "APL-BUNDLE-019",
    "An advisory is not valid",
    meaning="The named file is no OSV record of schema 1.x. With it left out, flaws would be missed in silence; so "
    "nothing was judged.",
    action="Fetch the advisories again. When the publisher's record itself is wrong, remove that one file.",
    exit_code=2,
)
LOCK_OUTDATED = declare(
    "APL-BUNDLE-032",
    "The lock is not that of the declaration",
    meaning="Something was declared, in the bundle, a role, a recipe or an environment, after the lock was made, or is "
    "not declared any more. A bundle of this lock would lack it in silence; none was made.",
    action="Renew the lock and look at the difference: appliance bundle lock NAME.",
)
BILL_INVALID = declare(
    "APL-BUNDLE-031",
    "The bill of materials cannot be read",
    meaning="sbom/bundle.cdx.json is missing, is no CycloneDX JSON, or holds a package URL that is none.",
    action="Verify the bundle first: appliance bundle verify. Then name its folder, or a lock.",
    exit_code=2,
)
VOLUME_SIZE = declare(
    "APL-BUNDLE-040",
    "The bundle cannot be split to this size",
    meaning="The first volume cannot hold what has to lie there, there would be more than 999 volumes, or a file that "
    "has to be cut has a name without room for a number.",
    action="Give a greater size; the message names the least one where there is one. Nothing was written.",
    exit_code=2,
)
VOLUME_INVALID = declare(
    "APL-BUNDLE-041",
    "Not a volume of a bundle",
    meaning="The folder has no volume.json, or one of another form, or it lists a file by a name that cannot be.",
    action="Name the folder in which volume.json lies. If it is the right one, copy that volume again from its source.",
    exit_code=3,
)
VOLUME_OTHER = declare(
    "APL-BUNDLE-042",
    "A volume of another bundle",
    meaning="The volumes come from different bundles, or from one bundle that was split in different ways.",
    action="Give the volumes of one set. To begin with another set, remove the unfinished folder that the message "
    "names.",
    exit_code=3,
)
VOLUME_TWICE = declare(
    "APL-BUNDLE-043",
    "A volume was given twice",
    meaning="Two of the folders hold the volume of the same number, so that another one is likely to be missing.",
    action="Give each volume once.",
    exit_code=2,
)
VOLUMES_MISSING = declare(
    "APL-BUNDLE-044",
    "Not all volumes were given yet",
    meaning="What was given is there and kept; the bundle is not complete, and there is no folder of its name.",
    action="Give the volumes that the message names: appliance bundle join OUT VOLUME. It goes on from here.",
)
PIECE_MISSING = declare(
    "APL-BUNDLE-045",
    "A file of a volume is missing",
    meaning="volume.json lists a file that does not lie on the volume: the copy is not complete, or volume.json is "
    "that of another volume.",
    action="Copy that volume again from its source, then run the command again: what was good is kept.",
    exit_code=3,
)
PIECE_CHANGED = declare(
    "APL-BUNDLE-046",
    "A file of a volume was changed",
    meaning="Its bytes are not those that were written: a copying error, a failing medium, or tampering.",
    action="Copy that volume again from its source, then run the command again: what was good is kept.",
    exit_code=3,
)
PIECE_EXTRA = declare(
    "APL-BUNDLE-047",
    "A file that does not belong on a volume",
    meaning="volume.json does not list it, it is no plain file, or has a name that no medium of ours has.",
    action="Find out where it comes from; then take the volume from a clean copy. Nothing of this volume was taken.",
    exit_code=3,
)
VOLUMES_DISAGREE = declare(
    "APL-BUNDLE-048",
    "The volumes do not make up the bundle",
    meaning="Each volume is as its volume.json says, but put together they are not what manifest.json lists: a piece "
    "is missing between two others, comes twice, or makes a file of another digest.",
    action="Do not use these volumes. Split the bundle again from its source.",
    exit_code=3,
)
NO_ROOM = declare(
    "APL-BUNDLE-049",
    "Not enough room",
    meaning="The target has less free space, or fewer free files, than is needed. Nothing was written.",
    action="Free space or name another target. What is needed: appliance bundle forecast FOLDER --target TARGET.",
    exit_code=4,
)
DEVICE_REFUSED = declare(
    "APL-BUNDLE-050",
    "This device is not written to",
    meaning="It is no whole block device, is in use, belongs to the running system, or cannot be written. Nothing was "
    "written.",
    action="Name the whole device of the medium that is to be erased, as root, with none of it mounted.",
    exit_code=2,
)
ERASE_UNCONFIRMED = declare(
    "APL-BUNDLE-051",
    "Erasing the device was not confirmed",
    meaning="Everything on the device will be lost. It has to be named by its serial number, or by its kernel name "
    "where it has none, so that the wrong one is not hit by a slip.",
    action="Compare with the label of the medium, then repeat with --yes-erase and what the message gives.",
    exit_code=2,
)
DEVICE_DIFFERS = declare(
    "APL-BUNDLE-052",
    "The device gives other bytes than were written",
    meaning="What was read back from the medium itself is not the image: the medium is failing or lies about its size.",
    action="Use another medium. What is on this one is not to be used.",
    exit_code=3,
)
NO_SCANNER = declare(
    "APL-BUNDLE-053",
    "No malware scanner",
    meaning="A bundle comes in only after a scanner of the site looked at it. None is set, or it cannot be started.",
    action="Set airlock.scanner in site.toml or give --scanner; then run the command again: what was copied is kept.",
    exit_code=2,
)
SCAN_REJECTED = declare(
    "APL-BUNDLE-054",
    "The malware scanner rejected the bundle",
    meaning="The scanner ended with another code than 0. Its output is kept, the copy was removed; a good signature "
    "does not change that.",
    action="Read the output that the message names and tell the releaser. Importing again scans again, and both scans "
    "stand in the custody log.",
    exit_code=3,
)
IMPORT_UNKNOWN = declare(
    "APL-BUNDLE-055",
    "No such import",
    meaning="The site has no import of this id.",
    action="Use the id that appliance bundle import printed: the first 16 digits of the manifest's digest.",
    exit_code=2,
)
RELEASE_UNAPPROVED = declare(
    "APL-BUNDLE-056",
    "Two people have to release an import",
    meaning="Fewer than two approvers released this import since it was last scanned, or they used one key. The one "
    "who imported does not count.",
    action="Ask another approver to run: appliance bundle release-import ID --as approver/NAME.",
    exit_code=5,
)
IMPORT_CHANGED = declare(
    "APL-BUNDLE-057",
    "What is kept of an import is not what was imported",
    meaning="A file in quarantine, the output of the scanner or the state of the import was altered. It is not "
    "released.",
    action="Find out who had access. Then remove the import's folder below airlock/ of the site and import again.",
    exit_code=3,
)
RECEIPT_INVALID = declare(
    "APL-BUNDLE-058",
    "The receipt is not valid",
    meaning="The file is no receipt, or what it says is not what the site signed.",
    action="Ask the site for a new one: appliance bundle receipt ID FILE. Check the digest of the site's first root.",
    exit_code=3,
)
IMPORT_STEP = declare(
    "APL-BUNDLE-059",
    "The import is not that far",
    meaning="The steps are: import, scan, two releases, receipt. The one before was not done, or did not succeed.",
    action="See what was done with appliance bundle custody ID, and do the step before.",
)
