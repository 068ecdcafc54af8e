"""Error codes of `appliance.secrets`. A file that cannot be read has the code of whoever needs it."""

from appliance.base.errors import declare

SETTING_INVALID = declare(
    "APL-SECRETS-001",
    "A setting names no place of a secret",
    meaning="Where a secret is to be, the setting holds neither a path nor openbao:PATH or openbao:PATH#FIELD, or it "
    "names an entry of OpenBao and secrets.openbao names no server. Nothing was asked.",
    action="Correct the setting; appliance site show secrets lists those of OpenBao.",
    exit_code=2,
)
UNREACHABLE = declare(
    "APL-SECRETS-002",
    "OpenBao does not answer",
    meaning="No connection came about, or no answer came in time. No secret was read.",
    action="Start the server (appliance site status tells its state), or correct secrets.openbao.",
)
UNTRUSTED = declare(
    "APL-SECRETS-003",
    "OpenBao's certificate is not trusted",
    meaning="The certificate has ended, names another host, or is of another authority than secrets.ca_file. Nothing "
    "was sent.",
    action="Check address and clock, and that secrets.ca_file is the authority that issued the certificate.",
)
SEALED = declare(
    "APL-SECRETS-004",
    "OpenBao is sealed",
    meaning="The server runs and cannot decrypt what it keeps: it was sealed, was started without its unseal key, or "
    "was never initialised.",
    action="Unseal it, then run the command again.",
)
LOGIN_REFUSED = declare(
    "APL-SECRETS-005",
    "OpenBao refused the login",
    meaning="Role id and secret id are not those of an AppRole: the secret id is wrong, was revoked or has ended, or "
    "may not be used from this machine. Or one of the two files cannot be read.",
    action="Have a new secret id made for the role and write it into the file of secrets.secret_id_file, mode 600.",
)
FORBIDDEN = declare(
    "APL-SECRETS-006",
    "The role may not read this secret",
    meaning="The login was accepted, and the policy of the role does not allow the entry.",
    action="Use the role that the entry is for, or have the entry added to the policy of the role.",
)
MISSING = declare(
    "APL-SECRETS-007",
    "OpenBao has no such secret",
    meaning="There is no such entry, its newest version was deleted, or it lacks the field.",
    action="Write the entry (bao kv put), or correct its path and field in the setting.",
)
FAILED = declare(
    "APL-SECRETS-008",
    "OpenBao could not do it",
    meaning="The server answered with an error of its own, or with something that is not OpenBao's.",
    action="Read the server's log for the time of the error; check the address and secrets.mount.",
)
INVALID = declare(
    "APL-SECRETS-009",
    "An entry holds no secret",
    meaning="What the field holds is not one line of printable ASCII without white space around it.",
    action="Write the password into the field as it is, without quotes and spaces around it.",
)
SERVER = frozenset({UNREACHABLE, UNTRUSTED, SEALED, LOGIN_REFUSED, FAILED})  # no entry can be read
UNREAD = SERVER | {FORBIDDEN, MISSING, INVALID}  # every way in which reading fails
