"""Runs every case of a pack through the auditor and through the unmodified Sigstore verifier.

The cases are those of `tests.unit.trust.verifier.cases`, each with one planted fault; their tables say the step that
``verify.py`` must name.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.trust import notes
from appliance.trust.auditor.audit import Question, audit_pack
from appliance.trust.sigstore_offline import claimed_identity
from tests.unit.trust.verifier.cases import FILES, LOGGED, SIGNED, VIEWS
from tests.unit.trust.verifier.pack_maker import Pack, Site

ISSUER = "https://idp.north.appliance.internal"
HOLDS = "holds"
GROUPS = {"files": FILES, "views": VIEWS, "entries": LOGGED, "signers": SIGNED}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pack with one planted fault; `expected` is what ``verify.py`` must say."""

    group: str
    name: str
    expected: str

    @property
    def id(self) -> str:
        return f"{self.group}: {self.name}"


def cases() -> Iterator[Case]:
    for group, table in GROUPS.items():
        for name, (_, step) in table.items():  # type: ignore[attr-defined]
            yield Case(group=group, name=name, expected=step or HOLDS)


class Shelf:
    """A site with a good pack, of which the cases are made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = Site(folder / "site")
        self.site.model()
        self.site.approve()
        self.site.stage()
        self.root_digest = Pack(site=self.site).write(folder / "pack")

    def make(self, case: Case, folder: Path) -> tuple[Path, str]:
        """The pack of a case, and the digest to pin."""
        pack = folder / "pack"
        change = GROUPS[case.group][case.name][0]  # type: ignore[index]
        if case.group == "files":
            shutil.copytree(self.folder / "pack", pack)
            change(pack)
            return pack, self.root_digest
        if case.group == "views":
            return pack, Pack(site=self.site, **change(self.site)).write(pack)
        site = Site(folder / "site")
        if case.group == "entries":
            site.model()
        change(site)
        return pack, Pack(site=site, artifacts={}).write(pack)


def ask_auditor(pack: Path, root_digest: str) -> str:
    verdict = audit_pack(pack, Question(root_digest=root_digest), NoProgress())
    return verdict.step or HOLDS


def ask_sigstore(pack: Path) -> str:
    """What the unmodified verifier says of the pack's statements, believing the trust config that lies there."""
    from sigstore.models import Bundle, ClientTrustConfig
    from sigstore.verify import Verifier, policy

    try:
        config = (pack / "trust-config.json").read_text()
        verifier = Verifier(trusted_root=ClientTrustConfig.from_json(config).trusted_root)
        for path in sorted((pack / "bundles").iterdir()):
            data = path.read_bytes()
            who = policy.Identity(identity=claimed_identity(data), issuer=ISSUER)
            verifier.verify_dsse(Bundle.from_json(data), who)
    except Exception:  # noqa: BLE001  whatever it raises, it does not accept
        return "refused"
    return HOLDS


def checkpoint_of(pack: Path) -> bytes | None:
    """The note of a pack's log, where it can be read as one."""
    try:
        data = (pack / "log/checkpoint").read_bytes()
        notes.signature_lines(data)
    except (OSError, ApplianceError):
        return None
    return data
