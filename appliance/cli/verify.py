"""``appliance verify``: one verb over everything."""

from __future__ import annotations

import click

from appliance.base.errors import EXIT_DONE, EXIT_VERIFICATION
from appliance.cli.command import Call, Result, command


@command("verify", "verify", example="appliance verify incident_risk/1 --json")
@click.argument("subject", metavar="ID-OR-PATH")
@click.option("--files", is_flag=True, help="List every file, not only the sums.")
def verify(call: Call, subject: str, files: bool) -> Result:
    """Check everything that an artifact or prediction rests on, from bytes and offline.

    ID-OR-PATH is a prediction id, NAME/VERSION of a model, a lineage or artifact id, or a file of the site.
    Ends with code 3 when a link does not hold, and names the file.
    """
    from appliance.orchestration.verification import Verifier

    verdict = Verifier(call.site, call.clock).verify(subject)
    return Result(
        data=verdict.as_json(), text=verdict.text(files=files), exit_code=EXIT_DONE if verdict.ok else EXIT_VERIFICATION
    )


group = verify
