"""Error codes of `appliance.base`."""

from appliance.base.errors import declare

NOT_CANONICAL = declare(
    "APL-BASE-001",
    "JSON is not in canonical form",
    meaning="A document whose digest is signed has exactly one valid byte form; this one has another.",
    action="Treat the file as altered: verify the artifact that it belongs to, restore it from a trusted copy.",
    exit_code=3,
)
WRITE_FAILED = declare(
    "APL-BASE-002",
    "A file could not be written",
    meaning="The disk is full, read-only or failing. The old content, if any, is untouched.",
    action="Free space or repair the disk, then run the command again; nothing was half-applied.",
)
PROCESS_FAILED = declare(
    "APL-BASE-003",
    "A program failed",
    meaning="A program that the appliance started ended with an error, or ran past its time limit.",
    action="Read the last lines of its output in the message; the whole command line stands in the log.",
)
BAD_DURATION = declare(
    "APL-BASE-004",
    "Not a duration",
    meaning="A duration is a whole number and one unit, for example 15min, 24h or 7d.",
    action="Write the number and one of us, ms, s, min, h, d without a space.",
    exit_code=2,
)
BAD_ARCHIVE = declare(
    "APL-BASE-005",
    "Archive member refused",
    meaning="An archive holds a hostile or unsupported member: a link, a device, a path that leaves the folder.",
    action="Do not unpack it by hand. Ask its maker for a clean copy.",
)
LOCKED = declare(
    "APL-BASE-006",
    "Another process holds the lock",
    meaning="Only one process at a time may change this part of the site.",
    action="Wait until the other command has ended, then run this one again.",
)
