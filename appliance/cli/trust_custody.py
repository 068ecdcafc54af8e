"""``appliance trust custodian-*`` and ``media-draft-*``, ``-assemble``, ``-publish``: split signing of trust roots.

On a custodian's laptop, without a site: custodian-key once, then custodian-show and custodian-sign for each request.
At the site, by the operator: draft, carry the request to the custodians, assemble their responses, publish.
"""

from __future__ import annotations

from pathlib import Path

import click

from appliance.base import atomic
from appliance.base.errors import ApplianceError
from appliance.cli.command import Call, Result, command

_keys = click.option("--keys", required=True, metavar="ADDRESS", help="Key store: file:, pkcs11: or openbao:.")
_name = click.option("--name", default="custodian", show_default=True, help="Name of the key in its store.")
_path = click.Path(path_type=Path)
# For every command that changes what verifiers believe.
drafted_in = click.option(
    "--draft",
    "work",
    type=_path,
    metavar="WORK",
    help="Draft it in the new folder WORK, for custodians who sign elsewhere, instead of publishing it.",
)


@command(
    "trust",
    "custodian-key",
    needs_site=False,
    example="appliance trust custodian-key ann.pub --keys 'file:./keys?passphrase-file=./phrase'",
)
@click.argument("public", type=_path)
@_keys
@_name
@click.option(
    "--algorithm", type=click.Choice(["ed25519", "p256", "p384", "mldsa65"]), default="ed25519", show_default=True
)
def custodian_key(_: Call, public: Path, keys: str, name: str, algorithm: str) -> Result:
    """Make a custodian's key and write its public half, for the operator, to the file PUBLIC."""
    from appliance.trust import keys as trust_keys
    from appliance.trust.keystores.address import open_store

    made = open_store(keys).create(name, algorithm)  # type: ignore[arg-type]  # click has checked the choice
    atomic.write_bytes(public.absolute(), trust_keys.public_text(made.public))
    key_id = trust_keys.key_id(made.public)
    return Result(data={"key_id": key_id, "public": str(public)}, text=f"{key_id}\nGive {public} to the operator.")


@command(
    "trust", "custodian-show", needs_site=False, example="appliance trust custodian-show /media/stick/request.json"
)
@click.argument("request", type=_path)
def custodian_show(_: Call, request: Path) -> Result:
    """Show what a signing request would change, worked out from what would be signed."""
    from appliance.trust.tuf import signing

    parsed = signing.parse_request(_read(request))
    data = {"role": parsed.role, "version": parsed.version, "digest": parsed.digest, "summary": list(parsed.summary)}
    return Result(data=data, text="\n".join(parsed.summary))


@command(
    "trust",
    "custodian-sign",
    needs_site=False,
    example="appliance trust custodian-sign /media/stick/request.json /media/stick/ann.json --digest sha256:5d1f... "
    "--keys 'file:./keys?passphrase-file=./phrase'",
)
@click.argument("request", type=_path)
@click.argument("response", type=_path)
@click.option("--digest", required=True, help="Digest that custodian-show printed and the others read out.")
@_keys
@_name
def custodian_sign(_: Call, request: Path, response: Path, digest: str, keys: str, name: str) -> Result:
    """Sign a request if it is the one with this digest, and write the signature to the file RESPONSE."""
    from appliance.trust.keystores.address import open_store
    from appliance.trust.tuf import codes, signing

    data = _read(request)
    parsed = signing.parse_request(data)
    if parsed.digest != digest:
        raise ApplianceError(
            codes.SIGNING_FILE_REFUSED, f"expected a request for {digest}, got {parsed.digest}", where=str(request)
        )
    atomic.write_bytes(response.absolute(), signing.sign_request(data, open_store(keys).load(name)))
    return Result(
        data={"role": parsed.role, "version": parsed.version, "digest": digest, "response": str(response)},
        text=f"Signed {parsed.summary[0]}\nGive {response} to the operator.",
    )


@command(
    "trust",
    "media-draft-root",
    changes="trust.draft-root",
    roles=("operator",),
    example="appliance trust media-draft-root ./root-2 --custodian ann.pub --custodian ben.pub --custodian lattice.pub",
)
@click.argument("work", type=_path)
@click.option("--custodian", "custodians", type=_path, multiple=True, help="Public key of every custodian from now on.")
@click.option("--publisher", type=_path, help="Public key of another publisher; the present one by default.")
def draft_root(call: Call, work: Path, custodians: tuple[Path, ...], publisher: Path | None) -> Result:
    """Draft the next root, with these custodians, in the new folder WORK; the request in it goes to the custodians."""
    from appliance.trust import custody, drafts, keys
    from appliance.trust.tuf import repository, signing

    trust = call.site.trust
    before = repository.newest_root(trust / "tuf")
    draft = signing.draft_root(
        custodians=[keys.parse_public_text(_read(path)) for path in custodians],
        publisher=keys.parse_public_text(_read(publisher)) if publisher else custody.open_publisher(trust).public,
        now=call.clock.now(),
        previous=before,
    )
    drafts.write(work.absolute(), draft, root=before)
    return draft_result(work)


@command(
    "trust",
    "media-draft-targets",
    changes="trust.draft-targets",
    roles=("operator",),
    example="appliance trust media-draft-targets ./targets-5 --target verify.py=./verify.py",
)
@click.argument("work", type=_path)
@click.option("--target", "targets", multiple=True, metavar="NAME=FILE", help="Add or replace a target.")
@click.option("--withdraw", multiple=True, metavar="NAME", help="Leave a target out.")
@click.option("--root", type=_path, help="Folder of a new root that was assembled and is published together.")
def draft_targets(
    call: Call, work: Path, targets: tuple[str, ...], withdraw: tuple[str, ...], root: Path | None
) -> Result:
    """Draft the next list of targets in the new folder WORK; what is not named stays as it is."""
    from appliance.trust import drafts
    from appliance.trust.tuf import repository

    folder = call.site.trust / "tuf"
    contents = repository.contents(folder)
    for name in withdraw:
        if contents.pop(name, None) is None:
            raise click.UsageError(f"there is no target {name}")
    for text in targets:
        name, equals, path = text.partition("=")
        if not equals:
            raise click.UsageError(f"expected NAME=FILE, got {text!r}")
        contents[name] = _read(Path(path))
    judge = _read(root / drafts.SIGNED) if root else repository.newest_root(folder)
    draft = repository.draft_targets(folder, contents, now=call.clock.now())
    drafts.write(work.absolute(), draft, root=judge, previous=repository.newest_targets(folder))
    return draft_result(work)


@command(
    "trust", "media-assemble", needs_site=False, example="appliance trust media-assemble ./root-2 ann.json ben.json"
)
@click.argument("work", type=_path)
@click.argument("responses", type=_path, nargs=-1, required=True)
def assemble(_: Call, work: Path, responses: tuple[Path, ...]) -> Result:
    """Check the custodians' responses to the draft in WORK, and put them together if they are enough."""
    from appliance.trust import drafts
    from appliance.trust.tuf import signing

    before = work / drafts.ROOT
    signed = signing.assemble(
        _read(work / drafts.DRAFT),
        [_read(path) for path in responses],
        root=_read(before) if before.is_file() else None,
    )
    path = work / drafts.SIGNED
    atomic.write_bytes(path.absolute(), signed)
    return Result(data={"signed": str(path), "signatures": len(responses)}, text=f"{path} is complete.")


@command(
    "trust",
    "media-publish",
    changes="trust.publish",
    roles=("operator",),
    example="appliance trust media-publish --root ./root-2 --targets ./targets-5",
)
@click.option("--root", type=_path, help="Folder of an assembled root.")
@click.option("--targets", type=_path, help="Folder of an assembled list of targets.")
def publish(call: Call, root: Path | None, targets: Path | None) -> Result:
    """Publish what was assembled, signed by the publisher; without either the same for a longer time."""
    from appliance.orchestration import trust_changes
    from appliance.trust.drafts import SIGNED

    folder = call.site.trust / "tuf"
    versions = trust_changes.publish(
        call.parts,
        call.role,
        root=_read(root / SIGNED) if root else None,
        targets=_read(targets / SIGNED) if targets else None,
    )
    call.renew()
    lines = [f"Copy {folder} to media.", *(f"{role} version {each}" for role, each in versions.items())]
    return Result(data={"folder": str(folder), "versions": versions}, text="\n".join(lines))


def _read(path: Path) -> bytes:
    from appliance.trust.tuf import codes

    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.SIGNING_FILE_REFUSED, f"cannot be read: {error.strerror}", where=str(path)
        ) from error


def draft_result(work: Path) -> Result:
    """What a command says that drafted something in `work`."""
    from appliance.trust import drafts

    request = drafts.request_of(work)
    path = work / drafts.REQUEST
    return Result(
        data={"request": str(path), "digest": request.digest, "summary": list(request.summary)},
        text="\n".join([*request.summary, f"Give {path} to the custodians."]),
    )


COMMANDS = (custodian_key, custodian_show, custodian_sign, draft_root, draft_targets, assemble, publish)
