"""Error codes of `appliance.ingestion.changes`."""

from appliance.base.errors import declare

NOT_CONFIGURED = declare(
    "APL-CHANGE-001",
    "No Kafka Connect is configured",
    meaning="The site names no address in connect.url, so there is nothing to run a connector of changes in.",
    action="Set connect.url, and the certificate it asks for: appliance site show connect lists the settings.",
    exit_code=2,
)
UNREACHABLE = declare(
    "APL-CHANGE-002",
    "Kafka Connect does not answer",
    meaning="Nobody answered at connect.url in time. Changes wait at the source, in its replication slot.",
    action="Start it (appliance site status tells its state), or correct connect.url.",
)
UNTRUSTED = declare(
    "APL-CHANGE-003",
    "Kafka Connect and this machine do not trust each other's certificate",
    meaning="Its certificate is not of connect.ca_file or has ended, or it refuses connect.certificate_file.",
    action="Compare the authorities and dates of both certificates.",
)
CONNECT_REFUSED = declare(
    "APL-CHANGE-004",
    "Kafka Connect refused the request",
    meaning="It answered with an error; the message is its own. What it ran before it still runs.",
    action="Correct what the message names in the declaration, then run the command again.",
)
NOT_ADDED = declare(
    "APL-CHANGE-005",
    "Kafka Connect does not know this connector",
    meaning="The connector is declared in a file, and was never added to Connect, or Connect lost its topics.",
    action="Add it with appliance connector add NAME.",
)
SOURCE_UNREACHABLE = declare(
    "APL-CHANGE-006",
    "The source database refuses us",
    meaning="No connection to the declared database: it is down, its certificate is not trusted, or user and password "
    "are wrong. The message is the database's.",
    action="Correct what the message names: address, ca_file, user, or the password in its file.",
)
SOURCE_UNFIT = declare(
    "APL-CHANGE-007",
    "The source database is not ready to be captured",
    meaning="One of the conditions does not hold under which every change can be seen. Nothing was added.",
    action="Have the source's administrator run the statements that appliance connector source NAME prints.",
)
NOT_AN_EVENT = declare(
    "APL-CHANGE-008",
    "A record of the topic is no change",
    meaning="It is not JSON with a schema as Debezium writes it. The order of changes counts, so nothing behind it is "
    "taken; the record stays in the topic.",
    action="Find out who else writes to the topic: only Kafka Connect may.",
)
TYPE_UNKNOWN = declare(
    "APL-CHANGE-009",
    "A column has a type that tables cannot hold",
    meaning="The source has a column whose type has no form in the lake. Nothing of its table is taken from there on.",
    action="Exclude the column in the declaration (excluded), then run connector add again.",
)
TYPE_CHANGED = declare(
    "APL-CHANGE-010",
    "A column was changed in a way that the table cannot follow",
    meaning="Columns may be added and made wider (int4 to int8, float4 to float8, a decimal's precision). Nothing of "
    "the table is taken from this change on; the changes stay in the topic.",
    action="Have the source give the new type a new column, or exclude the column and add the connector again.",
)
GAP = declare(
    "APL-CHANGE-011",
    "Changes of the source were lost before they were captured",
    meaning="The replication slot is gone, was made anew, or lost its log: changes between what was captured and what "
    "the slot can still give were never seen. Tables may hold rows that the source has not, and lack others.",
    action="See the runbook lsn_gap: find out why, declare the source under a new name, and read it from its start.",
)
OUT_OF_ORDER = declare(
    "APL-CHANGE-012",
    "A value of a row was left out by the source",
    meaning="An update tells only what changed, because the table's replica identity is no longer FULL. The row as it "
    "is now cannot be known.",
    action="Have the source run ALTER TABLE ... REPLICA IDENTITY FULL, and update the row once more.",
)
