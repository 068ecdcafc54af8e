"""Error codes of `appliance.storage`."""

from appliance.base.errors import declare

COMMIT_LOST = declare(
    "APL-STORAGE-001",
    "Another writer committed first",
    meaning="The table moved on between reading its head and committing. Nothing of this commit is in the table.",
    action="Run the command again; it reads the new head and goes on from there.",
)
TABLE_MISSING = declare(
    "APL-STORAGE-002",
    "No such table",
    meaning="The lake holds no table of this name; most tables appear with the first rows written to them.",
    action="List the tables with appliance table list.",
)
CATALOG_FAILED = declare(
    "APL-STORAGE-003",
    "The table catalog cannot be used",
    meaning="The catalog database is locked, damaged or not ours; no commit was made.",
    action="Check that no other program holds lake/catalog.db, and restore it from a backup if it is damaged.",
)
OBJECT_DAMAGED = declare(
    "APL-STORAGE-004",
    "Stored bytes are missing or altered",
    meaning="An object is named by the digest of its bytes; these bytes are gone or have another digest.",
    action="Restore the object from a trusted copy; appliance verify tells what rests on it.",
    exit_code=3,
)
ROWS_REFUSED = declare(
    "APL-STORAGE-005",
    "Rows do not fit the table",
    meaning="A column is missing, has another type, or holds a null where none is allowed. Nothing was written.",
    action="Correct the writer; the table's schema is shown by appliance table show.",
)
FILTER_INVALID = declare(
    "APL-STORAGE-006",
    "The row filter cannot be read",
    meaning="A filter compares columns of the table with constants, joined by and, or, not.",
    action="Correct the filter; appliance table show lists the columns.",
    exit_code=2,
)
KEEP_INVALID = declare(
    "APL-STORAGE-007",
    "A table keeps at least its head",
    meaning="Expiry was asked to keep no snapshot at all. Nothing was removed.",
    action="Keep one snapshot or more.",
    exit_code=2,
)
