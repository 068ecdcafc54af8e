"""Makes audit packs from the contract (docs/reference/trust_formats.md), good ones and ones with a named defect."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from appliance.base.canonical import canonical
from appliance.base.clock import FixedClock, rfc3339
from appliance.base.digest import digest_bytes
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, cosignatures, keys, notes, standalone, statements, witness_policy
from appliance.trust.cosignatures import WitnessKey
from appliance.trust.signer import Signer

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
PACKAGE = b'{"name":"m"}'
IDENTITY = "https://north.appliance.internal/roles/"
WITNESSES = {name: keys.generate("ed25519") for name in ("ann", "ben", "cem")}
CUSTODIANS = [CryptoSigner.generate_ed25519(), CryptoSigner.generate_ecdsa(), CryptoSigner.generate_ed25519()]
POST_QUANTUM = CryptoSigner.generate_mldsa()
PUBLISHER = CryptoSigner.generate_ed25519()
ATTESTATIONS = "https://appliance.internal/attestations"


def witness_key(name: str) -> WitnessKey:
    public = WITNESSES[name].public
    return WitnessKey(name=f"{name}.example", public=public)  # type: ignore[arg-type]


@dataclass
class Site:
    """A site that signs, and its auditors' view of it."""

    folder: Path
    clock: FixedClock = field(default_factory=lambda: FixedClock(NOW))

    def __post_init__(self) -> None:
        self.keys = RoleKeys(self.folder / "keys")
        self.keys.create_all()
        self.enclave = ceremony.init_trust(self.folder / "trust", "north", self.clock, self.keys.publics())
        self.log = self.enclave.log()
        self.signer = Signer(self.enclave, self.log, self.keys, self.clock)

    def sign(self, statement: bytes, role: str = "data-scientist") -> bytes:
        return self.signer.sign(statement, role)

    def model(self, package: bytes = PACKAGE, role: str = "data-scientist") -> bytes:
        made = statements.model(name="m", package_digest=digest_bytes(package), files={}, predicate={"owner": "o"})
        return self.sign(made, role)

    def model_in_secret(self) -> bytes:
        """By a certificate that the log does not show: something else stands in its place."""

        class Secret(Signer):
            def _enter(self, signed: Any, issued: bytes) -> bytes:
                return super()._enter(signed, canonical({"kind": "audit", "action": "x"}))

        made = statements.model(name="m", package_digest=digest_bytes(PACKAGE), files={}, predicate={"owner": "o"})
        return Secret(self.enclave, self.log, self.keys, self.clock).sign(made, "data-scientist")

    def approve(self, package: bytes = PACKAGE, role: str = "approver", scope: str = "live", reason: str = "") -> bytes:
        predicate = {"scope": scope, "reason": reason}
        digest = digest_bytes(package)
        return self.sign(statements.approval(name="m/package.json", subject_digest=digest, predicate=predicate), role)

    def stage(self, to: str = "live", package: bytes = PACKAGE) -> int:
        return self.enter(kind="model-stage", name="m", package=digest_bytes(package), to=to)

    def enter(self, **members: Any) -> int:
        """Add a canonical entry to the log."""
        return self.log.append([canonical({"time": rfc3339(NOW), **members})])[0]

    def revoke(self, target: str, name: str, from_index: int = 0) -> int:
        explained = digest_bytes(b"why")
        members = {"target": target, "id": name, "from_index": from_index, "reason": "test", "statement": explained}
        return self.enter(kind="revocation", **members)

    def certificate_digest(self, name: str) -> str:
        pem = (self.enclave.folder / "certificates" / f"{name}.pem").read_bytes()
        return digest_bytes(x509.load_pem_x509_certificate(pem).public_bytes(keys.serialization.Encoding.DER))

    def policy(self, **changes: Any) -> dict[str, Any]:
        enclave = self.enclave
        ids = {
            "log": digest_bytes(keys.spki(enclave.log_signer.public)),
            "ct": digest_bytes(keys.spki(enclave.ct_key.public)),
            "issuing": self.certificate_digest("issuing"),
            "timestamp": self.certificate_digest("timestamp"),
        }
        window = {"first_index": 0, "from": "2026-01-01T00:00:00Z", "last_index": None, "until": None}
        return {
            "format": "https://appliance.internal/formats/trust-policy/v1",
            "version": 1,
            "site": "north",
            "origin": self.log.key.origin,
            "issuer": enclave.issuer,
            "signers": [
                {"predicate_type": f"{ATTESTATIONS}/model/v1", "identities": [f"{IDENTITY}data-scientist"]},
                {
                    "predicate_type": f"{ATTESTATIONS}/approval/v1",
                    "identities": [f"{IDENTITY}approver", f"{IDENTITY}operator", f"{IDENTITY}*"],
                },
            ],
            "approvals": [{"scope": "live", "threshold": 1, "approvers": [f"{IDENTITY}approver"]}],
            "windows": [{"use": use, "id": each, **window} for use, each in ids.items()],
            **changes,
        }

    def tlog_policy(self, needed: int = 2) -> bytes:
        chosen = {name: witness_key(name) for name in WITNESSES} if needed else {}
        return witness_policy.make_policy(self.log.key, chosen, needed)

    def cosigned(self, names: Iterable[str] = ("ann", "ben"), when: dt.datetime = NOW, note: bytes = b"") -> bytes:
        note = note or self.log.checkpoint().note
        for name in names:
            note += cosignatures.cosign(WITNESSES[name], witness_key(name), note, int(when.timestamp())).encode()
        return note


@dataclass(kw_only=True)
class Pack:
    """What goes into a pack; fields are the places for defects."""

    site: Site
    policy: Mapping[str, Any] | None = None
    tlog_policy: bytes | None = None
    trust_config: bytes | None = None
    checkpoint: bytes | None = None
    expires: Mapping[str, dt.datetime] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=lambda: {"package.json": PACKAGE})
    signers: Iterable[Any] = (*CUSTODIANS, POST_QUANTUM)
    rotations: int = 0
    root_changes: Callable[[Root], None] | None = None

    def write(self, folder: Path) -> str:
        """Gives the digest of the first root."""
        trust = self.site.enclave.folder
        files = {
            "trust-config.json": self.trust_config or self.site.enclave.trust_config,
            "trust-policy.json": canonical(self.policy or self.site.policy()),
            "tlog-policy": self.site.tlog_policy() if self.tlog_policy is None else self.tlog_policy,
            "START-HERE.txt": b"read this first\n",
            "verifiers/verify.py": standalone.build_verify_py(),
            **{f"artifacts/{name}": data for name, data in self.artifacts.items()},
        }
        for name, data in files.items():
            put(folder / name, data)
        for name in ("log", "bundles", "certificates"):
            shutil.copytree(trust / name, folder / name, ignore=shutil.ignore_patterns("lock"))
        put(folder / "log/checkpoint", self.checkpoint or self.site.cosigned())
        targets = {name: files[name] for name in files if not name.startswith(("START", "artifacts"))}
        return self._write_repository(folder / "tuf", targets)

    def _write_repository(self, folder: Path, targets: Mapping[str, bytes]) -> str:
        def expiry(role: str) -> dt.datetime:
            return self.expires.get(role, NOW + dt.timedelta(days=1000))

        listed = {name: TargetFile.from_data(name, data, ["sha256"]) for name, data in targets.items()}
        for name, data in targets.items():
            above, slash, last = name.rpartition("/")
            put(folder / "targets" / f"{above}{slash}{hashlib.sha256(data).hexdigest()}.{last}", data)
        metadata: dict[str, Any] = {
            "targets": Targets(version=3, expires=expiry("targets"), targets=listed),
            "snapshot": Snapshot(version=2, expires=expiry("snapshot"), meta={"targets.json": MetaFile(3)}),
            "timestamp": Timestamp(version=5, expires=expiry("timestamp"), snapshot_meta=MetaFile(2)),
        }
        pinned = ""
        for version in range(1, self.rotations + 2):
            root = Root(version=version, expires=expiry("root"), consistent_snapshot=True)
            for role in ("root", "targets"):
                for signer in (*CUSTODIANS, POST_QUANTUM):
                    root.add_key(signer.public_key, role)
                root.roles[role].threshold = 3
            for role in ("snapshot", "timestamp"):
                root.add_key(PUBLISHER.public_key, role)
            if self.root_changes and version > 1:
                self.root_changes(root)
            data = signed(root, (*CUSTODIANS, POST_QUANTUM) if version == 1 else self.signers)
            pinned = pinned or digest_bytes(data)
            put(folder / f"metadata/{version}.root.json", data)
        for role, names in (("targets", self.signers), ("snapshot", [PUBLISHER]), ("timestamp", [PUBLISHER])):
            version = "" if role == "timestamp" else f"{metadata[role].version}."
            put(folder / f"metadata/{version}{role}.json", signed(metadata[role], names))
        return pinned


def signed(metadata: Any, signers: Iterable[Any]) -> bytes:
    made = Metadata(metadata)
    for signer in signers:
        made.sign(signer, append=True)
    return made.to_bytes()


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def bundle_paths(pack: Path) -> list[Path]:
    return sorted((pack / "bundles").iterdir())


def edit_json(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(json.dumps(document, separators=(",", ":")).encode())


def resign_checkpoint(site: Site, origin: str, size: int, root: bytes) -> bytes:
    """By the log's own key, whatever it says."""
    text = notes.checkpoint_text(origin, size, root)
    signature = site.log.key.id[:4] + site.enclave.log_signer.sign(text)
    return text + f"\n\u2014 {site.log.key.origin} {base64.b64encode(signature).decode()}\n".encode()


def pack_entries(entries: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)
