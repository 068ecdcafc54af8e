"""Error codes of `appliance.ingestion`. Reason codes of refused rows stand in `ingestion.reasons`."""

from appliance.base.errors import EXIT_APPROVAL, declare

POSITIONS_INVALID = declare(
    "APL-INGEST-001",
    "A table's position map cannot be trusted",
    meaning="The snapshot property that says how far a table has taken each source is not in its one valid form.",
    action="Do not ingest: compare the table's history with the lineage documents and restore the catalog.",
    exit_code=3,
)
STALE_BATCH = declare(
    "APL-INGEST-002",
    "The table does not stand where the batch starts",
    meaning="Another ingest run took these records first, or records before them are missing from the spool's log.",
    action="Run appliance ingest run again; if it repeats, a claimed file was removed by hand: restore it.",
)
CLOCK_WRONG = declare(
    "APL-INGEST-003",
    "The host clock is wrong",
    meaning="The clock is before 2024 or before the newest arrival in the lake. Rows would get a false arrival time.",
    action="Set the clock (chrony or the hardware clock), then run again. Nothing was claimed or changed.",
)
SPOOL_DAMAGED = declare(
    "APL-INGEST-004",
    "The spool's log has a gap or a foreign file",
    meaning="Claimed files are numbered without gaps; one is missing, doubled, or has a name that no claim gives.",
    action="Put the file back, or move the foreign one out of the log folder, then run again.",
)
MAPPING_INVALID = declare(
    "APL-INGEST-005",
    "A drop mapping is not valid",
    meaning="A mapping under declarations/drops/ names a column, type, unit or table that does not hold together.",
    action="Correct the named key; appliance schema mapping shows how the mapping is read.",
    exit_code=2,
)
DROP_UNKNOWN = declare(
    "APL-INGEST-006",
    "No such drop mapping",
    meaning="A file was dropped for a mapping that is not declared, or a command named one.",
    action="Declare it in declarations/drops/NAME.toml; appliance schema list shows those that are there.",
    exit_code=2,
)
REASON_UNKNOWN = declare(
    "APL-INGEST-007",
    "No such reason code",
    meaning="Rows in quarantine carry one of the declared reason codes; this is none of them.",
    action="See the codes in the reference, or list those in use with appliance quarantine list.",
    exit_code=2,
)
CONTRACT_MISSING = declare(
    "APL-INGEST-008",
    "A table has no contract",
    meaning="A stage takes only tables that a contract under declarations/contracts/ describes; a gate that looks at "
    "nothing must not look open.",
    action="Declare the contract; appliance table contracts lists those that are there.",
    exit_code=2,
)
NO_SUCH_LETTER = declare(
    "APL-INGEST-009",
    "No such dead letter",
    meaning="Nothing at this source and position failed to decode, or the position was never taken.",
    action="See the letters: appliance quarantine letters --all.",
    exit_code=2,
)
ANSWER_REFUSED = declare(
    "APL-INGEST-010",
    "The mended copy was not sent",
    meaning="It is not one or more reading batches that decode, or a file would be overwritten. Nothing was changed.",
    action="Mend what the message names. A copy is an Avro container file as the spool takes it, or one reading batch "
    "as JSON on each line; appliance schema show prints the fields.",
    exit_code=2,
)
LETTER_PURGED = declare(
    "APL-INGEST-011",
    "The dead letter was purged",
    meaning="Two people agreed to destroy its key, and with it its bytes. Its row in quarantine stays, with code, "
    "place and digest of the raw object.",
    action="See who purged it and why: appliance audit list --action letter.purge.",
    exit_code=2,
)
LETTER_IN_CLEAR = declare(
    "APL-INGEST-012",
    "The dead letter is kept in clear and cannot be purged",
    meaning="It was written before letters were sealed, or where the key store wraps no data keys. Its raw object has "
    "no key that could be destroyed, and stays until its object lock ends.",
    action="Wait for the lock of the raw object to end (storage.lock_days). Letters that come in now are sealed, "
    "unless the site's keys are on a token.",
    exit_code=2,
)
LETTER_HOLDS_READINGS = declare(
    "APL-INGEST-013",
    "The item holds readings beside what could not be decoded",
    meaning="Its raw object is what these readings are compared with when somebody verifies; without its bytes no "
    "decision that rests on them could be explained.",
    action="Answer it: appliance quarantine answer. The bytes go when the lock of the raw object ends "
    "(storage.lock_days).",
    exit_code=2,
)
PURGE_UNAPPROVED = declare(
    "APL-INGEST-014",
    "The purge is not approved",
    meaning="A purge cannot be undone; a second person with another key must agree to it. The request is recorded, and "
    "nothing was destroyed.",
    action="Ask an approver to run appliance quarantine purge SOURCE POSITION --approve --as approver/NAME "
    "--reason TEXT, then run this again.",
    exit_code=EXIT_APPROVAL,
)
CHECK_SKIPPED = declare(
    "APL-INGEST-015",
    "A check in the sink cannot be judged",
    meaning="The contract of silver.readings has a check with in_sink whose column or table is not there, or of a type "
    "that cannot be judged. A gate that looks at nothing must not look open. Of the batch nothing was committed; its "
    "bytes stay in the spool or the topic.",
    action="Bring in the table that the check refers to, or correct its columns under declarations/contracts/, or take "
    "in_sink from the check. Then run again.",
)
