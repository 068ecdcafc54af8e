"""Error codes of `appliance.cli`."""

from appliance.base.errors import declare

ROLE_REFUSED = declare(
    "APL-CLI-001",
    "This role may not do that",
    meaning="Every command that changes something is bound to roles; the one given is not among them.",
    action="Run it as one of the named roles (--as ROLE) on a machine that holds that role's key.",
    exit_code=2,
)
NO_LINEAGE = declare(
    "APL-CLI-002",
    "The model cannot be rebuilt from here",
    meaning="It was registered from a package that was not trained on this site, so its training set is not known.",
    action="Rebuild it on the site that trained it.",
)
