"""``appliance trust witness-*``: the exchange with witnesses, by files. A witness's own machine needs no site."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.cli.command import Call, Result, command
from appliance.cli.trust_custody import draft_result, drafted_in

_folder = click.option(
    "--witness", "folder", required=True, type=click.Path(path_type=Path), help="The witness's folder."
)

_needed = click.option(
    "--needed", type=click.IntRange(1), help="How many witnesses must cosign; as many as before if left out."
)


@command(
    "trust",
    "witness-init",
    needs_site=False,
    example="appliance trust witness-init --witness ./witness --name w1.audit.example",
)
@_folder
@click.option("--name", required=True, help="Name of the key, without spaces and plus signs.")
def init(_: Call, folder: Path, name: str) -> Result:
    """Make the key of a witness, on the witness's own machine; gives the line that the site's operator needs."""
    from appliance.trust.witness import create_witness

    key = create_witness(folder.absolute(), name)
    return Result(
        data={"name": name, "key": key.text()},
        text=f"Give this to the site: {key.text()}\nNext, there: appliance trust witness-add",
    )


@command(
    "trust",
    "witness-cosign",
    needs_site=False,
    example="appliance trust witness-cosign north.request north.response --witness ./witness --log-key 'log.north...'",
)
@click.argument("request", type=click.Path(path_type=Path))
@click.argument("response", type=click.Path(path_type=Path))
@_folder
@click.option("--log-key", "log_keys", required=True, multiple=True, help="The log's key, from paper; may be repeated.")
def cosign(call: Call, request: Path, response: Path, folder: Path, log_keys: tuple[str, ...]) -> Result:
    """Judge REQUEST against what this witness saw before, remember it, and write the cosignature to RESPONSE.

    Refuses a smaller tree (APL-TRUST-018) and one that does not extend the last (APL-TRUST-019).
    """
    from appliance.base import atomic
    from appliance.trust import notes
    from appliance.trust.witness import open_witness, read_request

    witness = open_witness(folder.absolute(), call.clock)
    logs = tuple(notes.parse_log_key(text) for text in log_keys)
    line = witness.cosign(read_request(request), logs)
    atomic.write_bytes(response, line.encode())
    return Result(data={"response": str(response), "line": line}, text=f"Cosigned as {witness.key.name}: {response}")


@command(
    "trust",
    "witness-add",
    changes="trust.witness-add",
    roles=("operator",),
    example="appliance trust witness-add grid-office 'w1.audit.example+1f2e...' --needed 2 --site ./site",
)
@click.argument("name")
@click.argument("key")
@_needed
@drafted_in
def add(call: Call, name: str, key: str, needed: int | None, work: Path | None) -> Result:
    """Let the witness NAME with the verifier KEY count, in a new policy that the custodians sign."""
    from appliance.orchestration import trust_changes

    names, wanted = trust_changes.add_witness(
        call.parts, call.role, name, key, needed=needed, work=work and work.absolute()
    )
    return _changed(call, names, wanted, work)


@command(
    "trust",
    "witness-remove",
    changes="trust.witness-remove",
    roles=("operator",),
    example="appliance trust witness-remove grid-office --needed 1 --reason 'office closed' --site ./site",
)
@click.argument("name")
@_needed
@click.option("--reason", required=True, help="Why, for the minutes.")
@drafted_in
def remove(call: Call, name: str, needed: int | None, reason: str, work: Path | None) -> Result:
    """Let the witness NAME count no longer, in a new policy that the custodians sign.

    As many must cosign as before, unless --needed says otherwise. What was cosigned stays so.
    """
    from appliance.orchestration import trust_changes

    names, wanted = trust_changes.remove_witness(
        call.parts, call.role, name, needed=needed, reason=reason, work=work and work.absolute()
    )
    return _changed(call, names, wanted, work)


def _changed(call: Call, names: list[str], wanted: int, work: Path | None) -> Result:
    if work:
        return draft_result(work)
    call.renew()
    text = f"{wanted} of {', '.join(names)} must cosign from now on" if names else "Nobody cosigns from now on"
    return Result(data={"witnesses": names, "needed": wanted}, text=text)


@command(
    "trust",
    "witness-export",
    changes="trust.witness-export",
    roles=("operator", "auditor"),
    example="appliance trust witness-export ./for-witnesses --site ./site",
)
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--old", type=click.IntRange(0), help="Tree size that the witness saw last, if it says another one.")
def export(call: Call, target: Path, old: int | None) -> Result:
    """Write a request for each witness of the policy into the folder TARGET: NAME.request, at most 2 kB."""
    from appliance.trust.cosigning import export_requests

    written = export_requests(call.site.trust, target.absolute(), old_size=old)
    lines = [f"{path.name}: {size} bytes" for path, size in written.items()]
    return Result(
        data={"requests": {path.name: size for path, size in written.items()}},
        text="\n".join([*lines, "Next: each witness answers, then: appliance trust witness-import"]),
    )


@command(
    "trust",
    "witness-import",
    changes="trust.witness-import",
    roles=("operator", "auditor"),
    example="appliance trust witness-import ./answers/*.response --site ./site",
)
@click.argument("responses", nargs=-1, required=True, type=click.Path(path_type=Path))
def import_(call: Call, responses: tuple[Path, ...]) -> Result:
    """Take in the witnesses' answers. When the quorum is met, packs show this tree."""
    from appliance.trust.cosigning import import_responses, read_response

    found = import_responses(call.site.trust, [read_response(path) for path in responses])
    text = "the quorum is met" if found.met else "the quorum is not met yet"
    return Result(
        data={"size": found.size, "witnesses": list(found.names), "met": found.met},
        text=f"{found.size} entries cosigned by {', '.join(found.names)}: {text}",
    )


@command(
    "trust",
    "prove",
    example="appliance trust prove 7 ./entry-7.tlog-proof --site ./site",
)
@click.argument("index", type=click.IntRange(0))
@click.argument("target", type=click.Path(path_type=Path))
def prove(call: Call, index: int, target: Path) -> Result:
    """Write the proof that log entry INDEX is in the newest witnessed tree, as a C2SP .tlog-proof file."""
    from appliance.base import atomic
    from appliance.trust.cosigning import newest_witnessed
    from appliance.trust.log_proof import make_proof

    head, tree = newest_witnessed(call.parts.anchor)
    atomic.write_bytes(target, make_proof(tree, head, index))
    return Result(
        data={"index": index, "size": head.size, "proof": str(target)},
        text=f"{target} proves entry {index} of {head.size}",
    )


COMMANDS = (init, cosign, add, remove, export, import_, prove)
