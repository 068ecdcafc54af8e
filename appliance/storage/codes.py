"""Error codes of `appliance.storage`."""

from appliance.base.errors import declare
from appliance.secrets import codes as secret_codes

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
    meaning="The catalog database is locked, damaged, not ours or cannot be reached. No commit was made; where the "
    "connection broke within one, the table's head tells whether it stands.",
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
STORE_REFUSED = declare(
    "APL-STORAGE-008",
    "The object store refused the credentials",
    meaning="The store does not know the access key, the secret does not belong to it, or its policy forbids the act.",
    action="Check the access key, the file with its secret and the policy of that key at the store.",
)
BUCKET_MISSING = declare(
    "APL-STORAGE-009",
    "No such bucket",
    meaning="The object store answers, and has no bucket of this name, or none can have it. Nothing was written.",
    action="Correct the name of the bucket, or prepare the bucket first.",
)
STORE_UNTRUSTED = declare(
    "APL-STORAGE-010",
    "The object store's certificate is not trusted",
    meaning="The server's certificate is expired, is for another name, or was not issued by the site's authority. "
    "No credentials were sent.",
    action="Check that the address is right and that the authority's file is the one that issued the certificate.",
)
STORE_AWAY = declare(
    "APL-STORAGE-011",
    "The object store does not answer",
    meaning="No connection came about, or it broke, or no answer came within the time limit. "
    "An object that was being written is there as a whole or not at all; writing it again is harmless.",
    action="Start the store (appliance site status tells its state), check the address, then run the command again.",
)
STORE_FAILED = declare(
    "APL-STORAGE-012",
    "The object store could not do it",
    meaning="The store answered with an error of its own, such as a full drive, or with something that is not S3. "
    "MinIO says SlowDownRead also when the bytes on its drive fail its own checksum.",
    action="Read the store's log for the time of the error; restore an object that it cannot read from a trusted copy.",
)
BUCKET_LACKS = declare(
    "APL-STORAGE-013",
    "The bucket does not keep what it must",
    meaning="Versioning, object lock or encryption was asked for, and the store does not do it, whatever it answered.",
    action="Use a store that has the feature; object lock can be chosen only when a bucket is made.",
)
SECRET_UNREADABLE = declare(
    "APL-STORAGE-014",
    "The file with the secret cannot be used",
    meaning="A password or a store's secret is read from a file that is missing, empty, not plain text, or that others "
    "may read.",
    action="Write the secret into the file, mode 0600, with no white space around it.",
)
NOT_SEEN = secret_codes.UNREAD | {  # no bytes were seen
    STORE_REFUSED,
    BUCKET_MISSING,
    STORE_UNTRUSTED,
    STORE_AWAY,
    STORE_FAILED,
    SECRET_UNREADABLE,
}
COLUMNS_REFUSED = declare(
    "APL-STORAGE-030",
    "The columns of a table cannot become what is declared",
    meaning="A column would be removed, narrowed, given another type, made required, or an id or a name that another "
    "column had would be given again. Rows that are there would be lost or mean something else. Nothing was changed.",
    action="Keep the column and add another one, with the next free id and a new name.",
)
COLUMNS_INVALID = declare(
    "APL-STORAGE-031",
    "A declaration of columns is not valid",
    meaning="The file cannot be read, or a key in it is missing, unknown or of another type. Nothing was changed.",
    action="Correct the named key; appliance schema columns TABLE prints a declaration of what is there.",
    exit_code=2,
)
COLUMNS_FIXED = declare(
    "APL-STORAGE-032",
    "The table's columns belong to the product",
    meaning="The product writes and reads this table by the names of its columns, and verifiers read its old files so.",
    action="Bring the data into a table of your own, by a drop mapping.",
    exit_code=2,
)
NAME_TAKEN = declare(
    "APL-STORAGE-033",
    "A column had this name before it was renamed",
    meaning="A writer brings a column by a name that another column of the table had. Adding it would move the values "
    "of files written before to the new column. Nothing was written.",
    action="Use the column's new name in the writer, for a drop in its mapping.",
)
DATA_ALTERED = declare(
    "APL-STORAGE-020",
    "A file of a table is not as its commit wrote it",
    meaning="Upkeep compares a file with the digest in its lineage document before it rewrites the file, or removes "
    "files for which it stands in. The file is missing or has other bytes, or no commit of the table names it; or "
    "metadata that a snapshot needs is missing. Nothing was rewritten or removed because of it.",
    action="Find out with appliance verify what rests on the file, and restore it from a trusted copy.",
    exit_code=3,
)
ROWS_DIFFER = declare(
    "APL-STORAGE-021",
    "A rewrite does not have the same rows",
    meaning="The digest of the rows read back from the new file is not that of the files it would stand in for. "
    "The table was not changed.",
    action="Check memory and disk of the machine, then run upkeep again; the new file is removed as an orphan later.",
)
UPKEEP_INVALID = declare(
    "APL-STORAGE-022",
    "Upkeep cannot do what it is asked for",
    meaning="A limit of upkeep is out of range, a column to sort by is not in the table, or the table's files belong "
    "to another site, of which this one is a copy. Nothing was changed.",
    action="Correct the setting or the option (appliance table show lists the columns); upkeep is for the site itself, "
    "where it was made.",
    exit_code=2,
)
