"""Error codes of `appliance.ingestion.connectors`."""

from appliance.base.errors import declare

INVALID = declare(
    "APL-CONN-001",
    "A connector's declaration is not valid",
    meaning="A file under declarations/connectors/ names an option, address, file or mapping that does not hold "
    "together. Nothing was asked of the source.",
    action="Correct the named key; the page on connectors shows every key.",
    exit_code=2,
)
UNKNOWN = declare(
    "APL-CONN-002",
    "No such connector",
    meaning="A command named a connector that is not declared.",
    action="Declare it in declarations/connectors/NAME.toml; appliance connector list shows those that are there.",
    exit_code=2,
)
PAUSED = declare(
    "APL-CONN-003",
    "The connector is paused",
    meaning="Somebody paused it with appliance connector pause; it is not run until it is resumed.",
    action="Find out why it was paused, then run appliance connector resume NAME.",
)
STATE_DAMAGED = declare(
    "APL-CONN-004",
    "A connector's state cannot be trusted",
    meaning="Its state file, or the batch that it says is ready, is not as it was written. Going on could lose rows or "
    "bring them in twice.",
    action="Restore the folder connectors/NAME of the site from a backup, or remove it to begin at the source's start "
    "and expect its rows once more.",
    exit_code=3,
)
NOT_DELIVERED = declare(
    "APL-CONN-005",
    "A batch could not be put into the spool",
    meaning="The file's name is taken, or the spool lies on another file system than the connector's state, where a "
    "rename is not one step. The batch is kept and delivered by the next run.",
    action="Move the foreign file away, or put spool and connectors on one file system; then run it again.",
)
SECRET_UNUSABLE = declare(
    "APL-CONN-006",
    "A secret file cannot be used",
    meaning="The file with the connector's secret is missing, empty, not one line of text, or others may read it.",
    action="Write the secret as one line into the named file, and chmod 600 it.",
)
UNREACHABLE = declare(
    "APL-CONN-007",
    "The source cannot be reached",
    meaning="No connection, or no answer within the time limit, after all attempts. What was delivered stays; the next "
    "run goes on from there.",
    action="Check that the host and port of the declaration answer from this machine and that the source is up.",
)
NOT_TRUSTED = declare(
    "APL-CONN-008",
    "The source's certificate is not trusted",
    meaning="The TLS certificate is not of the declared authority, is for another name, or has expired. Nothing was "
    "sent.",
    action="Compare ca_file with the authority that issues the source's certificate; check its dates and names.",
)
CREDENTIALS_REFUSED = declare(
    "APL-CONN-009",
    "The source refuses our credentials",
    meaning="It answered that the secret, or user and password, are wrong or may not read this.",
    action="Renew the secret in its file, or have the source grant read access to this user.",
)
SOURCE_FAILED = declare(
    "APL-CONN-010",
    "The source answered with an error",
    meaning="An HTTP status that is neither a page nor a refusal of credentials, after all attempts.",
    action="4xx: compare url and parameters with the source's documentation. 5xx: see the source's own log.",
)
THROTTLED = declare(
    "APL-CONN-011",
    "The source asks us to come later",
    meaning="It answers 429 (too many requests), or asks for a longer pause than the declaration waits.",
    action="Run the connector less often, make pages larger, or have the source raise the limit.",
)
ELSEWHERE = declare(
    "APL-CONN-012",
    "The source points to another host",
    meaning="A redirect or next link names a host that the declaration does not. It was not asked, and no secret was "
    "sent there.",
    action="If the source has moved, declare its new address; otherwise find out why it points there.",
)
PAGE_INVALID = declare(
    "APL-CONN-013",
    "A page is not as declared",
    meaning="It is not JSON, too large, nested too deep, or has no list of objects where the declaration says. No row "
    "of it was delivered.",
    action="Compare items, pages and max_page_bytes of the declaration with an answer of the source.",
)
SOURCE_CHANGED = declare(
    "APL-CONN-014",
    "The source's pages do not go on from where we were",
    meaning="A page that was delivered in part has fewer items now, or pages point back to one that came before. Rows "
    "may have been removed at the source.",
    action="Compare with the source; remove the folder connectors/NAME of the site to begin at its start.",
)
NOT_CAPTURED = declare(
    "APL-CONN-015",
    "The connector does not run in Kafka Connect",
    meaning="Only connectors of kind changes are added to Connect, restarted and removed; the others run when they are "
    "told to.",
    action="Use appliance connector run NAME.",
    exit_code=2,
)
