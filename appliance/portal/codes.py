"""Error codes of `appliance.portal`."""

from appliance.base.errors import declare

NOT_FOUND = declare(
    "APL-PORTAL-001",
    "No such page",
    meaning="Nothing of that address is known on this site.",
    action="Go to Home and follow the links; an id must be copied whole.",
)
QUERY_INVALID = declare(
    "APL-PORTAL-002",
    "The address is not valid",
    meaning="A part of the address after the question mark has a value that the page cannot use.",
    action="Go back to the page without that part, or correct the named value.",
    exit_code=2,
)
HOST_REFUSED = declare(
    "APL-PORTAL-003",
    "The host name is refused",
    meaning="The portal answers only when it is called by a loopback name. A page of another site that points its "
    "own name to this machine is kept out by this.",
    action="Open http://127.0.0.1 with the portal's port, or forward that port over SSH.",
)
BUSY = declare(
    "APL-PORTAL-004",
    "Another verification is running",
    meaning="A verification reads everything below its subject, so only one runs at a time.",
    action="Wait until it has ended, then load the page again.",
)
UNEXPECTED = declare(
    "APL-PORTAL-005",
    "The page could not be made",
    meaning="The portal met something that it was not written for. Nothing on the site was changed.",
    action="Look up the reference in logs/portal.jsonl and report it with those lines.",
)
METHOD_REFUSED = declare(
    "APL-PORTAL-006",
    "The portal only shows",
    meaning="Every page is read with GET; this version changes nothing.",
    action="Use the command line for changes; each is recorded.",
    exit_code=2,
)
