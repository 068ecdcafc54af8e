"""Rebuilds a model from the statements about it and compares bytes.

What is believed: the lineage document of the model (the caller has verified its signature and log inclusion). From it
follow, each checked by digest: ``package.json`` with the identity, the document of the training set, its rows.

Steps
1. This installation must be the one that the identity names (code, environment lock, hardware class), else a difference
   would prove nothing (APL-TRAINING-010).
2. The training set: the pinned folder, or (`from_lake`) built again from the snapshots and the cut-off in its document;
   either way its content digest must be the identity's.
3. The same job runs in a fresh process and a fresh folder.
4. Every file that the document names must have the same digest; the first that differs is reported (APL-TRAINING-009).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from appliance.base.canonical import parse_canonical
from appliance.base.clock import parse_rfc3339, to_us
from appliance.base.digest import digest_bytes, digest_file
from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress, Progress
from appliance.features.source import Tables
from appliance.features.view import view_of_declaration
from appliance.governance.lineage import Document, FileRecord
from appliance.governance.package import Identity
from appliance.training import codes
from appliance.training.dataset import Snapshots, pin_dataset
from appliance.training.environment import CPU_CLASS, code_digest
from appliance.training.recipe import recipe_of_json
from appliance.training.run import read_outcome, run_job_process


class LineageReader(Protocol):
    """What is needed of `appliance.governance.lineage.Lineage`."""

    def load(self, id: str) -> Document: ...


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A model that was rebuilt, byte for byte."""

    artifact_id: str
    files: tuple[str, ...]
    training_set: str
    from_lake: bool


@dataclass(frozen=True, kw_only=True)
class Reproducer:
    """Parts of a rebuild; see `appliance.training.run.Trainer` for the shared ones."""

    lineage: LineageReader
    tables: Tables
    python: Path
    environment: str
    site_folder: Path
    timeout_s: float

    def reproduce(
        self, model_lineage_id: str, *, from_lake: bool = False, progress: Progress | None = None
    ) -> Reproduction:
        """Rebuild the model of the lineage document `model_lineage_id`.

        Raises:
            ApplianceError: APL-TRAINING-009 or -010, APL-FEATURES-007, APL-TRAINING-003.
        """
        progress = progress or NoProgress()
        progress.begin("rebuild", 3)
        model = self.lineage.load(model_lineage_id)
        pinned = self.lineage.load(model.inputs[0])
        identity = self._identity(model)
        check_here(identity, environment=self.environment)
        progress.advance(1)
        with tempfile.TemporaryDirectory(prefix="reproduce-") as name:
            folder = Path(name)
            training_set = self._rebuild(identity, pinned, folder) if from_lake else self._pinned(pinned)
            run_job_process(identity, training_set, folder / "run", python=self.python, timeout_s=self.timeout_s)
            progress.advance(1)
            if not read_outcome(folder / "run")["packaged"]:
                raise ApplianceError(codes.NOT_REPRODUCED, "a gate that was open is closed in the rebuild")
            names = compare(model.files, folder / "run" / "package")
        progress.advance(1)
        return Reproduction(
            artifact_id=identity.artifact_id, files=names, training_set=identity.data, from_lake=from_lake
        )

    def _identity(self, model: Document) -> Identity:
        record = next((file for file in model.files if Path(file.path).name == "package.json"), None)
        if record is None:
            raise ApplianceError(codes.NOT_REPRODUCIBLE_HERE, f"{model.id} names no package.json")
        data = _read(self.site_folder / record.path)
        if digest_bytes(data) != record.digest:
            raise ApplianceError(
                codes.NOT_REPRODUCED,
                f"package.json: expected {record.digest}, got {digest_bytes(data)}",
                where=record.path,
            )
        return msgspec.convert(parse_canonical(data)["identity"], Identity)

    def _pinned(self, document: Document) -> Path:
        for file in document.files:
            data = self.site_folder / file.path
            if not data.is_file():
                raise ApplianceError(
                    codes.NOT_REPRODUCIBLE_HERE,
                    "the pinned training set is gone",
                    where=file.path,
                    hint="Build it again from the snapshots: appliance reproduce --from-lake.",
                )
        return (self.site_folder / document.files[0].path).parent  # the job checks the content digest

    def _rebuild(self, identity: Identity, document: Document, folder: Path) -> Path:
        snapshots = {name: None if id == "None" else int(id) for name, id in document.facts["snapshots"].items()}
        rebuilt = pin_dataset(
            recipe_of_json(identity.recipe),
            tables=self.tables,
            views=[view_of_declaration(declaration) for declaration in identity.views],
            lineage=_Unwritten(),
            folder=folder / "training-sets",
            site_folder=folder,
            snapshots=Snapshots(ids=snapshots, inputs=tuple(document.inputs)),
            cutoff_us=to_us(parse_rfc3339(document.facts["cutoff"])),
        )
        if rebuilt.digest != identity.data:
            raise ApplianceError(
                codes.NOT_REPRODUCED, f"training set from the lake: expected {identity.data}, got {rebuilt.digest}"
            )
        return rebuilt.folder


def check_here(identity: Identity, *, environment: str) -> None:
    """Raises ApplianceError APL-TRAINING-010 with both values."""
    for what, expected, got in (
        ("code", identity.code, code_digest()),
        ("environment lock", identity.environment, environment),
    ):
        if expected != got:
            raise ApplianceError(codes.NOT_REPRODUCIBLE_HERE, f"{what}: expected {expected}, here is {got}")
    if identity.hardware != CPU_CLASS:
        raise ApplianceError(
            codes.NOT_REPRODUCIBLE_HERE,
            f"made on {identity.hardware}; only {CPU_CLASS} is promised to give the same bytes",
        )


def compare(expected: Sequence[FileRecord], folder: Path) -> tuple[str, ...]:
    """The names of the files, all equal.

    Raises:
        ApplianceError: APL-TRAINING-009, naming the first file that differs.
    """
    names = []
    for record in sorted(expected, key=lambda record: Path(record.path).name):
        name = Path(record.path).name
        path = folder / name
        got = digest_file(path) if path.is_file() else "no such file"
        if got != record.digest:
            raise ApplianceError(codes.NOT_REPRODUCED, f"{name}: expected {record.digest}, got {got}", where=name)
        names.append(name)
    return tuple(names)


class _Unwritten:
    """A rebuild makes nothing that must be traced; its data set dies with the temporary folder."""

    def write(
        self, *, kind: str, name: str, files: Sequence[FileRecord], inputs: Sequence[str], facts: Mapping[str, Any]
    ) -> str:
        return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ApplianceError(
            codes.NOT_REPRODUCIBLE_HERE, f"cannot be read: {error.strerror}", where=str(path)
        ) from error
