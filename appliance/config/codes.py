"""Error codes of `appliance.config`."""

from appliance.base.errors import declare

SITE_MISSING = declare(
    "APL-CONFIG-001",
    "No site here",
    meaning="The folder holds no site.toml, so the command does not know what to work on.",
    action="Name the site with --site FOLDER or APPLIANCE_SITE, or make one: appliance site init FOLDER.",
    exit_code=2,
)
SITE_INVALID = declare(
    "APL-CONFIG-002",
    "The site file is not valid",
    meaning="A key is unknown, has the wrong type or is out of range. Nothing was changed.",
    action="Correct the named key; appliance site show lists every setting with type, unit and default.",
    exit_code=2,
)
SITE_EXISTS = declare(
    "APL-CONFIG-003",
    "There is a site already",
    meaning="site init never writes over an existing site.",
    action="Choose another folder, or use the site that is there.",
    exit_code=2,
)
DECLARATION_INVALID = declare(
    "APL-CONFIG-004",
    "A declaration file is not valid",
    meaning="A TOML file under declarations/ has an unknown key, a wrong type or a value out of range.",
    action="Correct the named key in the named file, then run the command again; nothing was changed.",
    exit_code=2,
)
