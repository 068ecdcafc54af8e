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
MANIFEST_INVALID = declare(
    "APL-BUNDLE-020",
    "The manifest of a bundle is not valid",
    meaning="manifest.json is missing, too large, not canonical JSON, or lists a file by a name that cannot be.",
    action="Do not install this medium. Fetch the bundle again from where it was signed.",
    exit_code=3,
)
