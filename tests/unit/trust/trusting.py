"""A site that signs, rotates and is witnessed, for tests of packs and auditors: every key is at hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from appliance.base.clock import FixedClock
from appliance.base.digest import digest_bytes
from appliance.base.progress import NoProgress
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, cosigning, custody, pack, rotation, statements, witness
from appliance.trust.anchor import Anchor, open_anchor
from appliance.trust.auditor.audit import Question, audit_pack
from appliance.trust.keys import FileKeys
from appliance.trust.pack import Exported
from appliance.trust.revocation import Revocation
from appliance.trust.signer import Signer
from appliance.trust.verdict import Verdict

START = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
ARTIFACT = b"the bytes of a model"


@dataclass(kw_only=True)
class TrustingSite:
    """The trust folder `trust`; every change moves the clock by an hour."""

    folder: Path
    keys: RoleKeys
    clock: FixedClock
    witnesses: list[str] = field(default_factory=list)

    @property
    def trust(self) -> Path:
        return self.folder / "trust"

    @property
    def store(self) -> FileKeys:
        return FileKeys(self.trust / "enclave")

    @property
    def anchor(self) -> Anchor:
        return open_anchor(self.trust)

    @property
    def root_digest(self) -> str:
        return custody.root_digest(self.trust)

    def later(self, hours: float = 1) -> dt.datetime:
        self.clock.at += dt.timedelta(hours=hours)
        return self.clock.at

    def held(self) -> custody.Custody:
        return custody.open_custody(self.trust)

    def signer(self) -> Signer:
        enclave = ceremony.open_enclave(self.trust)
        return Signer(enclave, enclave.log(), self.keys, self.clock)

    def sign(self, statement: bytes, role: str = "data-scientist") -> str:
        """Sign and store; gives the digest of the statement."""
        self.signer().sign(statement, role)
        return digest_bytes(statement)

    def sign_model(self, name: str = "m/1", data: bytes = ARTIFACT) -> str:
        return self.sign(
            statements.model(name=name, package_digest=digest_bytes(data), files={}, predicate={"owner": "o"})
        )

    def approve(self, data: bytes = ARTIFACT) -> str:
        return self.sign(
            statements.approval(name="m/1", subject_digest=digest_bytes(data), predicate={"scope": "live"}), "approver"
        )

    def rotate(self, use: str) -> None:
        rotation.rotate(self.trust, use, store=self.store, held=self.held(), now=self.later())

    def revoke(self, target: str, id: str, from_index: int) -> None:
        entry = Revocation(
            target=target,  # type: ignore[arg-type]
            id=id,
            from_index=from_index,
            reason="key stolen",
            time="2026-03-01T12:00:00Z",
            statement=digest_bytes(b"unsigned"),
        )
        ceremony.open_enclave(self.trust).log().append([entry.encode()])

    def add_witnesses(self, *names: str, needed: int) -> None:
        known = {
            name: witness.create_witness(self.folder / "witnesses" / name, f"{name}.audit.example") for name in names
        }
        self.witnesses = list(names)
        rotation.set_witnesses(self.trust, known, needed, held=self.held(), now=self.later())

    def witnessed(self, *names: str) -> None:
        """Ask these witnesses (all by default) to cosign the newest checkpoint, and take in their answers."""
        self.later()
        written = cosigning.export_requests(self.trust, self.folder / "requests", old_size=None)
        answers = []
        for name in names or self.witnesses:
            officer = witness.open_witness(self.folder / "witnesses" / name, self.clock)
            (path,) = (path for path in written if path.stem == name)
            answers.append(officer.cosign(path.read_bytes(), (self.anchor.log_key,)))
        cosigning.import_responses(self.trust, answers)

    def export(self, name: str, *, artifacts: dict[str, bytes] | None = None) -> Path:
        """A new pack."""
        return self.exported(name, artifacts=artifacts).folder

    def exported(self, name: str, *, artifacts: dict[str, bytes] | None = None) -> Exported:
        files = {}
        for each, data in ({"model.onnx": ARTIFACT} if artifacts is None else artifacts).items():
            files[each] = self.folder / "artifacts" / each
            files[each].parent.mkdir(parents=True, exist_ok=True)
            files[each].write_bytes(data)
        return pack.export_pack(self.anchor, self.folder / name, artifacts=files, extras={}, progress=NoProgress())

    def audit(self, path: Path, **question: object) -> Verdict:
        asked = {"root_digest": self.root_digest, **question}
        return audit_pack(path, Question(**asked), NoProgress())  # type: ignore[arg-type]


def make_site(folder: Path) -> TrustingSite:
    keys = RoleKeys(folder / "keys")
    keys.create_all()
    clock = FixedClock(START)
    ceremony.init_trust(folder / "trust", "north", clock, keys.publics())
    return TrustingSite(folder=folder, keys=keys, clock=clock)


def make_witnessed_site(folder: Path) -> TrustingSite:
    """With a signed and approved model, and two of three witnesses."""
    site = make_site(folder)
    site.add_witnesses("w1", "w2", "w3", needed=2)
    site.sign_model()
    site.approve()
    site.witnessed()
    return site
