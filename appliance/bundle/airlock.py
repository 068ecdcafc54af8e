"""Brings a bundle into a site: verified, copied into quarantine, scanned, released by two people.

Each import has a folder, ``airlock/<first 16 digits of the manifest's digest>``: ``state.json``, ``quarantine/`` until
it is released, ``bundle/`` from then on, ``scan.log``.

Rules
1. The steps are received, quarantined, scanned, released; or rejected. Each is in the audit before it is in the state.
2. Only what `verify_bundle` accepted is copied, and every member is hashed while it is copied.
3. A scanner of the site looks at every import, without a network where we are root. Its code 0 means clean; any other
   one rejects, whoever signed the bundle, and the copy is removed.
4. What is released was verified once more, in quarantine, against the root digest and the scan that the audit has.
5. A release counts only as `custody` says. The bundle is remembered against rollback when it is released, not before.
6. Whatever step was killed, the same command goes on. A copy that failed, on a full disk for one, leaves nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from appliance.base import atomic, process
from appliance.base.digest import digest_bytes, digest_file
from appliance.base.errors import ApplianceError
from appliance.base.progress import Progress
from appliance.bundle import codes, custody, manifest
from appliance.bundle.custody import Standing
from appliance.bundle.forecast import forecast, require_room
from appliance.bundle.tree import list_folder
from appliance.bundle.verify import BundleQuestion, VerifiedBundle, verify_bundle
from appliance.governance import codes as governance_codes
from appliance.governance.audit import Audit, Record
from appliance.trust.verdict import Verdict

_STATE, _QUARANTINE, _BUNDLE, _SCAN_LOG = "state.json", "quarantine", "bundle", "scan.log"
Step = Literal["received", "quarantined", "scanned", "rejected", "released"]


class Import(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``state.json``. `manifest` and `release` are digests of the manifest and of the release statement."""

    format: Literal["appliance-import/1"] = "appliance-import/1"
    id: str
    step: Step
    bundle: str
    version: str
    manifest: str
    release: str


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What the importer says of the medium; empty where nothing is known."""

    label: str = ""
    received_from: str = ""
    seal: str = ""


class Airlock:
    """The imports below `folder` of a site. `scanner` is a command; the folder to scan is added as its last word."""

    def __init__(self, folder: Path, *, audit: Audit, scanner: str, scan_limit_s: float) -> None:
        self.folder = folder
        self._audit = audit
        self._scanner = scanner
        self._scan_limit_s = scan_limit_s

    def bring_in(
        self,
        medium: Path,
        *,
        root_digest: str,
        not_older_than: dt.datetime | None,
        provenance: Provenance,
        actor: str,
        progress: Progress,
    ) -> tuple[Verdict, Import | None]:
        """Take the bundle on `medium` as far as the scan. Gives the verdict, and the import where it holds.

        Raises:
            ApplianceError: APL-BUNDLE-053 there is no scanner, -054 it rejected the bundle, -049 no room, -023 or -028
                the medium changed or failed while it was copied, -029 there is no bundle, APL-BASE-002 the disk is full
                (the quarantine was emptied), -003 the scanner took too long, -006, APL-AUDIT-001.
        """
        words = self._scanner_words()
        with atomic.exclusive(self.folder / "lock", wait=False):
            question = BundleQuestion(
                root_digest=root_digest, memory=self._memory, not_older_than=not_older_than, remembers=False
            )
            verdict, bundle = verify_bundle(medium, question, progress)
            if bundle is None:
                return verdict, None
            known = self._state(bundle.manifest_digest[7:23])
            if known is not None and known.step in ("scanned", "released"):
                return verdict, known
            state = Import(
                id=bundle.manifest_digest[7:23],
                step="received",
                bundle=bundle.manifest.bundle,
                version=bundle.manifest.version,
                manifest=bundle.manifest_digest,
                release=bundle.release,
            )
            if known is None or known.step != "quarantined" or not (self._place(state.id) / _QUARANTINE).is_dir():
                state = self._copy(state, bundle, root_digest, provenance, actor, progress)
            return verdict, self._scan(msgspec.structs.replace(state, step="quarantined"), words, actor)

    def release(self, id: str, *, actor: str, progress: Progress) -> Import:
        """Release the import as one of two people; it is `bundle_folder` when the second one did.

        Raises:
            ApplianceError: APL-BUNDLE-055 there is none, -059 it is not scanned, -056 another person has to release
                it: this one is recorded. -057 it is not what was imported, APL-AUDIT-001, -002, APL-BASE-002, -006.
        """
        with atomic.exclusive(self.folder / "lock", wait=False):
            state = self.find(id)
            if state.step == "released":
                return state
            if state.step != "scanned":
                raise ApplianceError(codes.IMPORT_STEP, f"it is {state.step}", where=id)
            before = self.standing(state)
            if before.scanned.get("outcome") != custody.CLEAN:
                raise ApplianceError(codes.IMPORT_CHANGED, "the audit has no scan that found it clean", where=id)
            self._note(actor, custody.APPROVED, state, {"output": before.scanned.get("output", "")})
            now = self.standing(state)
            if now.objection:
                raise ApplianceError(codes.RELEASE_UNAPPROVED, now.objection, where=id)
            self._check(state, now, progress)
            quarantine, bundle = self._place(id) / _QUARANTINE, self.bundle_folder(id)
            if quarantine.exists():
                quarantine.rename(bundle)
                atomic.fsync_folder(bundle.parent)
            bundle.chmod(0o755)  # apt reads a repository as a user of its own
            self._note(actor, custody.RELEASED, state, {"approvers": " ".join(now.approvers)})
            return self._write(msgspec.structs.replace(state, step="released"))

    def find(self, id: str) -> Import:
        """Raises ApplianceError: APL-BUNDLE-055, -057."""
        state = self._state(id) if len(id) == 16 and set(id) <= set("0123456789abcdef") else None
        if state is None:
            raise ApplianceError(codes.IMPORT_UNKNOWN, f"there is no import {id!r}", where=str(self.folder))
        return state

    def bundle_folder(self, id: str) -> Path:
        """Where the bundle is, once it is released."""
        return self._place(id) / _BUNDLE

    def custody(self, state: Import) -> list[Record]:
        """The audit records about an import, oldest first, with the whole audit verified.

        Raises:
            ApplianceError: APL-AUDIT-002 the audit does not hold.
        """
        checked = self._audit.check()
        if not checked.ok:
            raise ApplianceError(governance_codes.AUDIT_BROKEN, checked.fault, where=checked.where)
        found = custody.records_of(self._audit.records(), state.id)
        return [each for each in found if each.fields["arguments"].get("manifest") == state.manifest]

    def standing(self, state: Import) -> Standing:
        """Raises ApplianceError: APL-AUDIT-002."""
        return custody.standing(self.custody(state))

    def note_receipt(self, state: Import, statement: str, actor: str) -> None:
        """Record that a receipt was signed; `statement` is its digest. Raises APL-AUDIT-001."""
        self._note(actor, custody.RECEIPT, state, {"statement": statement})

    @property
    def _memory(self) -> Path:
        return self.folder / "memory"

    def _place(self, id: str) -> Path:
        return self.folder / id

    def _scanner_words(self) -> list[str]:
        try:
            words = shlex.split(self._scanner)
        except ValueError as error:
            raise ApplianceError(codes.NO_SCANNER, f"{self._scanner!r}: {error}") from error
        if not words:
            raise ApplianceError(codes.NO_SCANNER, "airlock.scanner is empty and no --scanner was given")
        if shutil.which(words[0]) is None:
            raise ApplianceError(codes.NO_SCANNER, f"{words[0]} cannot be started: no such program")
        return words

    def _copy(
        self,
        state: Import,
        bundle: VerifiedBundle,
        root_digest: str,
        provenance: Provenance,
        actor: str,
        progress: Progress,
    ) -> Import:
        quarantine = self._place(state.id) / _QUARANTINE
        told = {
            "bundle": state.bundle,
            "version": state.version,
            "release": state.release,
            "root_digest": root_digest,
            "label": provenance.label,
            "received_from": provenance.received_from,
            "seal": provenance.seal,
        }
        known = self._state(state.id)
        if known is not None and known.step == "rejected":
            atomic.remove_tree(quarantine)  # a kill may have left it
        need = forecast(bundle.manifest)
        if not quarantine.exists():
            require_room(quarantine, need.joined, need.files)
        self._note(actor, custody.RECEIVED, state, told)
        try:
            self._write(state)
            atomic.make_folder(quarantine)
            quarantine.chmod(0o700)
            self._fill(quarantine, bundle, progress)
            self._note(
                actor, custody.COPIED, state, {"files": str(need.files), "size_bytes": str(bundle.manifest.size_bytes)}
            )
            return self._write(msgspec.structs.replace(state, step="quarantined"))
        except ApplianceError:
            self._empty(state)
            raise

    def _fill(self, quarantine: Path, bundle: VerifiedBundle, progress: Progress) -> None:
        """Every file of the bundle; those that an earlier run copied whole are there under their names."""
        progress.begin("copy into quarantine", bundle.manifest.size_bytes)
        for member in bundle.manifest.members:
            target = quarantine / member.path
            if not target.exists():  # `copy` gives the name when the digest held
                bundle.copy(member.path, target)
            progress.advance(member.size_bytes)
        atomic.write_bytes(quarantine / manifest.NAME, manifest.render(bundle.manifest))
        for path, size in list_folder(bundle.folder).sizes.items():
            if manifest.is_signature(path):  # judged again, in quarantine, before anything is released
                try:
                    with (bundle.folder / path).open("rb") as file:
                        data = file.read(size + 1)
                except OSError as error:
                    raise ApplianceError(codes.UNREADABLE, f"cannot be read: {error.strerror}", where=path) from error
                atomic.write_bytes(quarantine / path, data)

    def _empty(self, state: Import) -> None:
        """Leave nothing of an import that could not be copied."""
        with contextlib.suppress(OSError):  # the error that led here is the one to tell
            atomic.remove_tree(self._place(state.id))

    def _scan(self, state: Import, words: list[str], actor: str) -> Import:
        place = self._place(state.id)
        alone = ["unshare", "--net", "--"] if os.geteuid() == 0 else []
        done = process.run([*alone, *words, place / _QUARANTINE], timeout_s=self._scan_limit_s, check=False, tied=True)
        output = done.stdout + done.stderr
        atomic.write_bytes(place / _SCAN_LOG, output)
        outcome = custody.REJECTED if done.returncode else custody.CLEAN
        told = {
            "scanner": shlex.join(words),
            "exit_code": str(done.returncode),
            "output": digest_bytes(output),
            "network": "none" if alone else "that of the host",
            "outcome": outcome,
        }
        self._note(actor, custody.SCANNED, state, told)
        if outcome == custody.CLEAN:
            return self._write(msgspec.structs.replace(state, step="scanned"))
        self._write(msgspec.structs.replace(state, step="rejected"))
        atomic.remove_tree(place / _QUARANTINE)
        last = (output.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1][:200]
        raise ApplianceError(
            codes.SCAN_REJECTED, f"{words[0]} ended with {done.returncode}: {last}", where=str(place / _SCAN_LOG)
        )

    def _check(self, state: Import, found: Standing, progress: Progress) -> None:
        """Rule 4."""
        place = self._place(state.id)
        try:
            output = digest_file(place / _SCAN_LOG)
        except OSError as error:
            raise ApplianceError(
                codes.IMPORT_CHANGED, f"cannot be read: {error.strerror}", where=str(place / _SCAN_LOG)
            ) from error
        if output != found.scanned.get("output"):
            told = f"expected {found.scanned.get('output')}, got {output}"
            raise ApplianceError(codes.IMPORT_CHANGED, told, where=str(place / _SCAN_LOG))
        kept = place / _QUARANTINE if (place / _QUARANTINE).exists() else place / _BUNDLE
        question = BundleQuestion(root_digest=found.received.get("root_digest", ""), memory=self._memory)
        try:
            verdict, bundle = verify_bundle(kept, question, progress)
        except ApplianceError as error:
            raise ApplianceError(codes.IMPORT_CHANGED, str(error), where=str(kept)) from error
        if bundle is None:
            first = verdict.broken[0]
            raise ApplianceError(codes.IMPORT_CHANGED, first.detail, where=str(kept / first.path))
        if bundle.manifest_digest != state.manifest:
            told = f"expected {state.manifest}, got {bundle.manifest_digest}"
            raise ApplianceError(codes.IMPORT_CHANGED, told, where=str(kept))

    def _state(self, id: str) -> Import | None:
        path = self._place(id) / _STATE
        try:
            state = msgspec.json.decode(path.read_bytes(), type=Import, strict=True)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ApplianceError(codes.IMPORT_CHANGED, f"cannot be read: {error}", where=str(path)) from error
        if state.id != id or state.manifest[7:23] != id:
            raise ApplianceError(codes.IMPORT_CHANGED, f"it is the state of {state.id}", where=str(path))
        return state

    def _write(self, state: Import) -> Import:
        atomic.write_bytes(self._place(state.id) / _STATE, msgspec.json.encode(state) + b"\n")
        return state

    def _note(self, actor: str, action: str, state: Import, told: Mapping[str, str]) -> None:
        arguments = {"import": state.id, "manifest": state.manifest, **told}
        self._audit.end(self._audit.begin(role=actor, action=action, arguments=arguments), outcome="done", detail="")
