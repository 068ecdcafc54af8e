"""Error codes of `appliance.ingestion.schemas`."""

from appliance.base.errors import declare

INVALID = declare(
    "APL-SCHEMA-001",
    "The text is not a schema",
    meaning="It cannot be parsed as a schema of its kind, or uses what we do not judge. Nothing was registered.",
    action="Correct the text at the place that the message names; give the kind with --kind if it was guessed wrong.",
    exit_code=2,
)
INCOMPATIBLE = declare(
    "APL-SCHEMA-002",
    "The schema is not compatible with what the subject holds",
    meaning="Readers or data of earlier versions would break. Nothing was registered.",
    action="Change the schema so that the reasons go away (add fields with a default, keep names and types), or "
    "register it under another subject.",
)
SUBJECT_INVALID = declare(
    "APL-SCHEMA-003",
    "Not a name of a subject",
    meaning="A subject is named by letters, digits, dot, hyphen and underscore, 200 characters at most, the first a "
    "letter or digit.",
    action="Choose another name; the usual one is TOPIC-value.",
    exit_code=2,
)
UNREACHABLE = declare(
    "APL-SCHEMA-004",
    "The schema registry cannot be reached",
    meaning="No connection, or no answer within the time limit, after all attempts. Values of ids that were not asked "
    "for before wait; nothing is lost.",
    action="Start the registry (appliance site status tells its state), or correct schemas.registry of the site file.",
)
NOT_TRUSTED = declare(
    "APL-SCHEMA-005",
    "The schema registry's certificate is not trusted",
    meaning="The TLS certificate is not of the declared authority, is for another name, or has expired. No password "
    "was sent.",
    action="Compare schemas.ca_file with the authority that issued the registry's certificate; check dates and names.",
)
CREDENTIALS_REFUSED = declare(
    "APL-SCHEMA-006",
    "The schema registry refuses our credentials",
    meaning="It answered that user and password are missing or wrong (401), or may not do this (403).",
    action="Correct schemas.user and the file schemas.password_file, or have the right granted at the registry.",
)
OTHER_API = declare(
    "APL-SCHEMA-007",
    "The address is not that of a schema registry",
    meaning="Something answers there, and not by the Confluent schema registry API.",
    action="Correct schemas.registry: it ends where /subjects begins, at Apicurio with /apis/ccompat/v7.",
)
BAD_ANSWER = declare(
    "APL-SCHEMA-008",
    "The schema registry's answer cannot be used",
    meaning="It is not JSON, lacks a field, is too large, or holds a value of another type than the API has.",
    action="Ask the same by hand and compare with the registry's documentation; see the registry's own log.",
)
REGISTRY_FAILED = declare(
    "APL-SCHEMA-009",
    "The schema registry could not do it",
    meaning="It answered with an error of its own, after all attempts. A registration may be made or not; registering "
    "the same text again is harmless.",
    action="See the registry's own log for the time of the error, mend it, and run the command again.",
)
FOLDER_DAMAGED = declare(
    "APL-SCHEMA-010",
    "The folder of registered schemas cannot be trusted",
    meaning="A file in it is not as it was written. An id that stands for another schema would decode values wrongly.",
    action="Restore the folder schemas of the site from a backup.",
    exit_code=3,
)
SETTINGS_INVALID = declare(
    "APL-SCHEMA-011",
    "The settings of the schema registry do not hold together",
    meaning="The address is not one, a file is missing or holds no certificates or no password, or a user has no "
    "password. Nothing was asked.",
    action="Correct the section schemas of the site file.",
    exit_code=2,
)
SUBJECT_UNKNOWN = declare(
    "APL-SCHEMA-012",
    "No such subject or id",
    meaning="The registry holds no schema under this subject, or none with this id.",
    action="List the subjects with appliance schema list.",
)
DECLARATION_INVALID = declare(
    "APL-SCHEMA-013",
    "A folder of declared schemas is not in order",
    meaning="Versions are files NUMBER.avsc, NUMBER.proto or NUMBER.json, numbered from 1 without gaps, one kind a "
    "subject. Anything else in the folder is refused.",
    action="Rename or move the named file.",
    exit_code=2,
)
