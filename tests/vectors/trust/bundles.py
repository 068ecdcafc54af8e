"""Runs every case of a bundle that stands alone through the unmodified Sigstore verifier and through ``verify.sh``.

The cases are those of `tests.unit.trust.verifier.bundle_cases`, whose tables say what ``verify.py`` names, and the
forgeries that the unmodified verifier lets through. The shell judges what it says it judges: bundle 0.3 with P-256
leaves under an Ed25519 log, kinds dsse 0.0.1 and hashedrekord.
"""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.trust import notes
from appliance.trust.verifier.verdict import Verdict
from tests.unit.trust.verifier.bundle_cases import DEFECTS, KINDS, Document, entry_of
from tests.unit.trust.verifier.sigstore_maker import (
    ARTIFACT,
    IDENTITY,
    ISSUER,
    ORIGIN,
    Scene,
    make_key,
    pem,
    sign,
    text,
)
from tests.unit.trust.verifier.test_bundle import CERTIFICATES, judge, step_of
from tests.vectors.trust.packs import HOLDS

HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A bundle, the trusted root to judge it by, and what it is asked for."""

    document: Document
    root: Document
    artifact: bytes = ARTIFACT
    identity: str = IDENTITY
    issuer: str = ISSUER


Make = Callable[[Scene], Asked]


def cases() -> Iterator[tuple[str, Make]]:
    for name, arguments in KINDS.items():
        yield (
            f"kinds: {name}",
            lambda scene, a=arguments: Asked(  # type: ignore[misc]
                document=scene.bundle(**a), root=scene.trusted_root()
            ),
        )
    for name, (change, _) in DEFECTS.items():
        yield f"defects: {name}", lambda scene, c=change: _changed(scene, c)  # type: ignore[misc]
    for name, (arguments, _) in CERTIFICATES.items():
        yield f"certificates: {name}", lambda scene, a=arguments: _certified(scene, a)  # type: ignore[misc]
    for name, make in FORGERIES.items():
        yield f"forgeries: {name}", make


def _good(scene: Scene) -> Document:
    return scene.bundle("dsse/0.0.1", token=True)


def _changed(scene: Scene, change: Callable[[Document], Any]) -> Asked:
    document = copy.deepcopy(_good(scene))
    change(document)
    return Asked(document=document, root=scene.trusted_root())


def _certified(scene: Scene, arguments: dict[str, Any]) -> Asked:
    leaf = make_key("p256")
    document = scene.bundle("dsse/0.0.2", leaf=leaf, certificate=scene.certify(leaf, **arguments))
    return Asked(document=document, root=scene.trusted_root())


def _window(name: str, start: int, end: int | None) -> Make:
    def make(scene: Scene) -> Asked:
        period = {"start": _time(scene.when + start * HOUR)}
        if end is not None:
            period["end"] = _time(scene.when + end * HOUR)
        return Asked(document=_good(scene), root=scene.trusted_root(**{name: period}))

    return make


def _time(when: dt.datetime) -> str:
    return when.isoformat()[:19] + "Z"


def _stranger(name: str) -> Make:
    def make(scene: Scene) -> Asked:
        folder = scene.folder / "stranger"
        folder.mkdir(exist_ok=True)
        other = Scene(folder, log=scene.log).trusted_root()
        return Asked(document=_good(scene), root={**scene.trusted_root(), name: other[name]})

    return make


def _resigned(**changes: Any) -> Make:
    """The checkpoint, signed anew by the real log key with another origin or size."""

    def make(scene: Scene) -> Asked:
        document = scene.bundle("hashedrekord/0.0.2")
        proof = entry_of(document)["inclusionProof"]
        size = changes.get("size", int(proof["treeSize"]))
        note = f"{changes.get('origin', ORIGIN)}\n{size}\n{proof['rootHash']}\n".encode()
        line = f"\u2014 {ORIGIN} {text(scene.log_id[:4] + sign(scene.log_key, note))}\n"
        proof["checkpoint"]["envelope"] = note.decode() + "\n" + line
        return Asked(document=document, root=scene.trusted_root())

    return make


def _index(scene: Scene) -> Asked:
    document = scene.bundle("hashedrekord/0.0.2")
    entry_of(document)["logIndex"] = "4"
    return Asked(document=document, root=scene.trusted_root())


def _other_token(scene: Scene) -> Asked:
    one, two = (scene.bundle("hashedrekord/0.0.2") for _ in range(2))
    name = "timestampVerificationData"
    one["verificationMaterial"][name] = two["verificationMaterial"][name]
    return Asked(document=one, root=scene.trusted_root())


def _other_entry(scene: Scene) -> Asked:
    one, two = scene.bundle("dsse/0.0.1"), scene.bundle("dsse/0.0.1")
    entry_of(one).update(entry_of(two))
    return Asked(document=one, root=scene.trusted_root())


FORGERIES: dict[str, Make] = {
    "another artifact": lambda scene: Asked(document=scene.bundle(), root=scene.trusted_root(), artifact=b"other"),
    "another identity": lambda scene: Asked(document=_good(scene), root=scene.trusted_root(), identity=IDENTITY + "x"),
    "a prefix of the identity": lambda scene: Asked(
        document=_good(scene), root=scene.trusted_root(), identity=IDENTITY[:-1]
    ),
    "another issuer": lambda scene: Asked(document=_good(scene), root=scene.trusted_root(), issuer="https://other"),
    "an unknown certificate authority": _stranger("certificateAuthorities"),
    "an unknown CT key": _stranger("ctlogs"),
    "an unknown log key": _stranger("tlogs"),
    "an unknown timestamp authority": _stranger("timestampAuthorities"),
    "the log key was retired before": _window("tlogs", -2, -1),
    "the authority was retired before": _window("certificateAuthorities", -2, -1),
    "the CT key was retired before": _window("ctlogs", -2, -1),
    "the timestamp authority was retired before": _window("timestampAuthorities", -2, -1),
    "the log key starts later": _window("tlogs", 1, None),
    "the token is of another signature": _other_token,
    "the entry is of another signature": _other_entry,
    "a checkpoint of another origin": _resigned(origin="log.other.org"),
    "a checkpoint of another size": _resigned(size=9),
    "the entry's index is a lie": _index,
}


def ask_sigstore(asked: Asked) -> str:
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier, policy

    config = {
        "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
        "trustedRoot": asked.root,
        "signingConfig": {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            **{name: [] for name in ("caUrls", "oidcUrls", "rekorTlogUrls", "tsaUrls")},
        },
    }
    try:
        verifier = Verifier(trusted_root=ClientTrustConfig.from_json(json.dumps(config)).trusted_root)
        bundle = Bundle.from_json(json.dumps(asked.document))
        who = policy.Identity(identity=asked.identity, issuer=asked.issuer)
        if "dsseEnvelope" in asked.document:
            _, payload = verifier.verify_dsse(bundle, who)
            digests = [each["digest"]["sha256"] for each in json.loads(payload)["subject"]]
            if hashlib.sha256(asked.artifact).hexdigest() not in digests:
                return "refused"
        else:
            verifier.verify_artifact(asked.artifact, bundle, who)
    except Exception:  # noqa: BLE001  whatever it raises, it does not accept
        return "refused"
    return HOLDS


def ask_python(asked: Asked, folder: Path) -> str:
    verdict: Verdict = judge(
        folder, asked.document, asked.root, artifact=asked.artifact, identity=asked.identity, issuer=asked.issuer
    )
    return step_of(verdict) or HOLDS


def ask_shell(asked: Asked, scene: Scene, script: Path, folder: Path) -> str:
    """The shell takes the trusted keys as files: those of `asked.root`."""
    (folder / "bundle.json").write_text(json.dumps(asked.document))
    (folder / "artifact").write_bytes(asked.artifact)
    files = _files(asked.root, folder)
    command = [
        "bash",
        str(script),
        "bundle",
        "--origin",
        ORIGIN,
        "--identity",
        asked.identity,
        "--issuer",
        asked.issuer,
    ]
    for name, path in files.items():
        command += [f"--{name}", str(path)]
    done = subprocess.run(
        [*command, str(folder / "bundle.json"), str(folder / "artifact")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode in (0, 3), done.stdout + done.stderr
    return HOLDS if done.returncode == 0 else last.removeprefix("REFUSED ").partition(":")[0]


def _files(root: Document, folder: Path) -> dict[str, Path]:
    import base64

    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    (authority,), (stamper,) = root["certificateAuthorities"], root["timestampAuthorities"]
    chain = [base64.b64decode(each["rawBytes"]) for each in authority["certChain"]["certificates"]]
    tsa = base64.b64decode(stamper["certChain"]["certificates"][0]["rawBytes"])
    public = serialization.load_der_public_key(base64.b64decode(root["tlogs"][0]["publicKey"]["rawBytes"]))
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    made = {
        "issuing": pem(x509.load_der_x509_certificate(chain[0])),
        "root": pem(x509.load_der_x509_certificate(chain[1])),
        "tsa": pem(x509.load_der_x509_certificate(tsa)),
        "log-key": public.public_bytes(*form),
    }
    for name, data in made.items():
        (folder / f"{name}.pem").write_bytes(data)
    return {name: folder / f"{name}.pem" for name in made}


def log_key(scene: Scene) -> notes.LogKey:
    return notes.log_key(ORIGIN, scene.log_key.public_key())
