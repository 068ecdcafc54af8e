"""Error codes of `appliance.deploy` and of the builder of third-party servers: APL-DEPLOY and APL-SERVERS."""

from appliance.base.errors import declare

RECIPE_INVALID = declare(
    "APL-SERVERS-001",
    "A server's recipe is not valid",
    meaning="A recipe.toml or a lock under servers/ lacks a key, has an unknown one, or a value of the wrong form.",
    action="Correct the named file; servers/README.md lists the keys.",
    exit_code=2,
)
TOOL_MISSING = declare(
    "APL-SERVERS-002",
    "A build tool or package is missing",
    meaning="A recipe needs a program, a Debian package or the environment .venv-servers, and it is not there.",
    action="Run make servers, which installs what is missing.",
    exit_code=4,
)
BUILD_FAILED = declare(
    "APL-SERVERS-003",
    "A server could not be built",
    meaning="The compiler or the resolver of a recipe ended with an error. What was built before is untouched.",
    action="Read the named log; it ends with the tool's own words. An unreachable registry is the usual cause.",
)
DIGEST_DIFFERS = declare(
    "APL-SERVERS-004",
    "What came is not what the recipe names",
    meaning="A file from a registry, or the thing that was built from it, has another SHA-256 than the recipe's. "
    "It was not installed.",
    action="Do not use it. Compare with another machine; if the change is meant, renew with python3 -m servers.builder "
    "--relock NAME and have the new digest reviewed.",
    exit_code=3,
)
NOT_BUILT = declare(
    "APL-SERVERS-005",
    "A server is not built",
    meaning="The site needs a third-party server whose files are not in the folder of servers.",
    action="Run make servers, or let the setting servers.folder name the folder where it was run.",
    exit_code=4,
)
PORT_TAKEN = declare(
    "APL-SERVERS-006",
    "A server's port is taken",
    meaning="Another program listens on a port that a server of this site needs. Nothing was started.",
    action="Stop that program (ss -ltnp names it), or move all servers with the setting servers.first_port.",
    exit_code=4,
)
STATE_DAMAGED = declare(
    "APL-SERVERS-007",
    "A server's state is damaged",
    meaning="A file under servers/ of the site that a server cannot do without is missing, empty or not readable. "
    "Nothing was started and nothing was overwritten.",
    action="Restore the named file from a backup. If the data are not needed, remove the server's folder: "
    "it is made anew.",
)
NOT_READY = declare(
    "APL-SERVERS-008",
    "A server did not become ready",
    meaning="A server ended, or did not answer a real request in time. What this command had started was stopped.",
    action="Read the named log; its last lines are in the message.",
)
FOLDER_UNSUITABLE = declare(
    "APL-SERVERS-009",
    "The site's folder does not suit the servers",
    meaning="The path is too long for a Unix socket, or PostgreSQL's user may not enter a folder above the site: "
    "PostgreSQL never runs as root.",
    action="Keep the site in a short path whose folders everybody may enter, for example /srv/site.",
    exit_code=4,
)
SUPERVISOR_SILENT = declare(
    "APL-SERVERS-010",
    "The supervisor of the servers does not answer",
    meaning="The program that runs the servers of this site could not be started, or does not answer on its socket.",
    action="Read servers/supervisor/supervisord.log in the site; appliance site down ends what is left.",
)
NO_SUCH_SERVER = declare(
    "APL-SERVERS-011",
    "No such server",
    meaning="A name given with --only is not that of a server of the site.",
    action="Use the names that appliance site status lists.",
    exit_code=2,
)
REFUSED = declare(
    "APL-SERVERS-012",
    "A server refused a request",
    meaning="A server answered, but refused what the appliance asked when it set it up.",
    action="Read the server's log. Secrets in servers/secrets that do not fit the data are the usual cause.",
)
INVENTORY_UNUSABLE = declare(
    "APL-DEPLOY-001",
    "The inventory cannot be used",
    meaning="The folder with hosts.yml and group_vars/ is missing, cannot be read, or Ansible does not understand it. "
    "No service was changed.",
    action="Make one with appliance deploy init FOLDER, or correct the named file.",
    exit_code=2,
)
HOSTS_ELSEWHERE = declare(
    "APL-DEPLOY-002",
    "The inventory names other hosts",
    meaning="So far a deployment drives the host that it runs on: one host, with ansible_connection: local. "
    "No service was changed.",
    action="Name this host alone. For more hosts run ansible-playbook by hand; docs/howto/deploy.md says how.",
    exit_code=2,
)
PREFLIGHT_FAILED = declare(
    "APL-DEPLOY-003",
    "The host is not ready",
    meaning="Something keeps the host from being deployed on. Everything that was found is listed; no service was "
    "changed.",
    action="Do what each finding says, then run the same command again.",
    exit_code=4,
)
RUN_FAILED = declare(
    "APL-DEPLOY-004",
    "A deployment failed",
    meaning="A task failed. What ran before it is done and stays; what comes after it was not begun.",
    action="Remove the cause that the task names, then run the same command again: it goes on from there.",
)
NO_CONTROL = declare(
    "APL-DEPLOY-005",
    "Ansible is not there",
    meaning="This command was not started from a control environment, which install.sh of a bundle makes.",
    action="Run bash install.sh ROOT_DIGEST in the folder of the bundle.",
    exit_code=4,
)
NO_BUNDLE_NAMED = declare(
    "APL-DEPLOY-006",
    "No bundle is named",
    meaning="Outside of a control environment nothing says which bundle is meant.",
    action="Name it with --bundle FOLDER.",
    exit_code=2,
)
NOT_IN_PLACE = declare(
    "APL-DEPLOY-007",
    "The bundle is not in its place",
    meaning="A bundle is deployed from /opt/appliance/bundle, where install.sh copied and verified it under its "
    "release's name; never from a medium, which may give other bytes a second time. Nothing was changed.",
    action="Run bash install.sh ROOT_DIGEST in the folder of the medium.",
    exit_code=2,
)
