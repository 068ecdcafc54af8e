"""Error codes of `appliance.trust.keystores`."""

from appliance.base.errors import EXIT_USAGE, declare

ADDRESS_REFUSED = declare(
    "APL-KEYS-001",
    "The address of a key store is not valid",
    meaning="It is none of file:, pkcs11: and openbao:, or has a part that is unknown, double or not allowed there.",
    action="Correct the address; docs/howto/key_stores.md shows one of each kind.",
    exit_code=EXIT_USAGE,
)
STORE_UNREACHABLE = declare(
    "APL-KEYS-002",
    "The key store cannot be reached",
    meaning="The server does not answer, or the token or its driver is not there. Nothing was signed.",
    action="Start the server or plug in the token, then run the command again.",
)
STORE_SEALED = declare(
    "APL-KEYS-003",
    "The key server is sealed",
    meaning="OpenBao runs, but holds its keys encrypted until its key holders unseal it, as after every start.",
    action="Let the key holders unseal it, then run the command again.",
)
SECRET_REFUSED = declare(
    "APL-KEYS-004",
    "The PIN, passphrase or token was refused",
    meaning="The store does not open with this secret, or the secret does not allow what was asked. A token locks "
    "itself after a few wrong PINs.",
    action="Correct the file that holds the secret. Do not try again with the same one.",
)
SECRET_MISSING = declare(
    "APL-KEYS-005",
    "The file with the PIN, passphrase or token cannot be used",
    meaning="It is absent, empty or too long. Secrets come from files or open files only, never from the command line "
    "or the environment, where others can read them.",
    action="Write the secret to a file of mode 0600 and name it in the address of the store.",
)
ALGORITHM_REFUSED = declare(
    "APL-KEYS-006",
    "The key has another algorithm than asked for",
    meaning="The store cannot make keys of this kind, or holds a key of another kind under the name.",
    action="Use P-256, P-384 or Ed25519 there; ML-DSA-65 keys live in files.",
)
STORE_FAILED = declare(
    "APL-KEYS-007",
    "The key store gave an error",
    meaning="The store was reached and refused the operation, for a reason of its own that the message repeats.",
    action="Correct what the message names; the log of the server or the manual of the token says more.",
)
WRAPS_NO_DATA_KEYS = declare(
    "APL-KEYS-008",
    "The key store wraps no data keys",
    meaning="Keys that seal sensitive data are wrapped by a key of the site's key store. A PKCS#11 token does not do "
    "it yet. Dead letters are kept in clear there; a drop with sensitive columns is not taken.",
    action="Keep the site's keys in files or in OpenBao, where data must be sealed.",
)
