"""A small bundle in a folder, and its manifest's digest."""

import hashlib
import json
from pathlib import Path


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def make_bundle(folder: Path, files: dict[str, bytes], *, inputs: list[dict] | None = None, programs=()) -> str:
    files = {**files, "small.lock.json": json.dumps({"inputs": inputs or []}).encode()}
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    members = [
        {
            "path": path,
            "digest": digest(data),
            "size_bytes": len(data),
            "executable": path in programs,
            "part": path.split("/")[0],
        }
        for path, data in sorted(files.items())
    ]
    manifest = json.dumps({"bundle": "small", "made_at": "2026-01-05T18:00:00Z", "members": members}).encode()
    (folder / "manifest.json").write_bytes(manifest)
    return digest(manifest)


def wheel(name: str, data: bytes, *environments: str) -> dict:
    return {
        "kind": "wheel", "name": name, "version": "1.0", "digest": digest(data), "path": f"wheels/{name}-1.0.whl",
        "wanted_by": [f"environment:{each}" for each in environments],
    }  # fmt: skip
