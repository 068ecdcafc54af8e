#!/usr/bin/python
"""Makes a Python environment from the wheels of the verified bundle, as a whole or not at all.

Rules
1. Only what the bundle's lock names for the environment goes in, each wheel with its digest; no index is asked.
2. The installer is uv, unpacked from its wheel in the bundle: the host needs nothing but Python.
3. Nothing in it names the place where it was made: scripts find their folder, byte code has the final path.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from ansible.module_utils import verified_bundle
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.draft import Draft, drafted, is_made_from

DOCUMENTATION = r"""
module: python_environment
short_description: Makes a Python environment from the verified bundle
description:
  - It is complete, or it is not there.
options:
  bundle: {description: Folder of the bundle on the host., type: path, required: true}
  manifest_digest: {description: Digest of its manifest., type: str, required: true}
  name: {description: Environment in the bundle's lock., type: str, required: true}
  path: {description: Where it is to be., type: path, required: true}
  own_wheel: {description: Whether the appliance itself goes in., type: bool, default: false}
  python: {description: The host's interpreter., type: path, default: /usr/bin/python3}
"""
ARGUMENTS = {
    "bundle": {"type": "path", "required": True},
    "manifest_digest": {"type": "str", "required": True},
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "own_wheel": {"type": "bool", "default": False},
    "python": {"type": "path", "default": "/usr/bin/python3"},
}


def unpack_uv(bundle: verified_bundle.VerifiedBundle, folder: Path) -> Path:
    """The program, executable. Raises BundleError: the bundle has none."""
    wheel = bundle.wheels("uv", own=False)[0]
    name = f"{wheel.name}-{wheel.version}.data/scripts/uv"
    target = folder / "uv"
    with zipfile.ZipFile(io.BytesIO(bundle.read(wheel.path))) as file:
        if name not in file.namelist():
            raise verified_bundle.BundleError(f"{wheel.path}: there is no {name} in it")
        target.write_bytes(file.read(name))
    target.chmod(0o700)
    return target


def commands(uv: Path, *, python: str, draft: Draft, path: Path, wheels: Path) -> list[list[str]]:
    """What makes the environment that becomes `path`, from the file ``requirements`` in the draft's scratch."""
    cache = ["--no-config", "--offline", "--quiet", "--cache-dir", str(draft.scratch / "cache")]
    return [
        [str(uv), "venv", *cache, "--relocatable", "--python", python, str(draft.made)],
        [
            *(str(uv), "pip", "install", *cache),
            *("--no-index", "--find-links", str(wheels), "--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--link-mode", "hardlink"),  # the cache lies beside it and is removed: every file is written once
            *("--python", str(draft.made / "bin/python"), "--requirement", str(draft.scratch / "requirements")),
        ],
        [
            *(str(draft.made / "bin/python"), "-m", "compileall", "-qq", "-j", "0"),
            # Nothing in it changes, so its times need not be compared, and it is the same bytes on every host.
            *("--invalidation-mode", "unchecked-hash"),
            *("-s", str(draft.made), "-p", str(path), str(draft.made / "lib")),
        ],
    ]


def forget_when(environment: Path) -> None:
    """Remove uv's notes on when a wheel came to this host, so that the environment is the same bytes on every one."""
    for note in environment.glob("lib/python3*/site-packages/*.dist-info/uv_cache.json"):
        note.unlink()
        record = note.with_name("RECORD")
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(each for each in lines if not each.startswith(f"{note.parent.name}/{note.name},")))


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    path = Path(told["path"])
    try:
        bundle = verified_bundle.load(Path(told["bundle"]), told["manifest_digest"])
        wheels = bundle.wheels(told["name"], own=told["own_wheel"])
        requirements = "".join(f"{each.requirement}\n" for each in sorted(wheels, key=lambda each: each.name))
        facts = {"manifest": bundle.manifest_digest, "environment": told["name"], "wheels": requirements.splitlines()}
        changed = not is_made_from(path, facts)
        if changed and not module.check_mode:
            with drafted(path, facts) as draft:
                _make(module, bundle, requirements, draft)
    except verified_bundle.BundleError as error:
        module.fail_json(msg=str(error))
    before = "" if changed else requirements
    module.exit_json(changed=changed, diff={"after_header": told["path"], "before": before, "after": requirements})


def _make(module: AnsibleModule, bundle: verified_bundle.VerifiedBundle, requirements: str, draft: Draft) -> None:
    told = module.params
    (draft.scratch / "requirements").write_text(requirements)
    uv = unpack_uv(bundle, draft.scratch)
    *making, compiling = commands(
        uv, python=told["python"], draft=draft, path=Path(told["path"]), wheels=bundle.folder / "wheels"
    )
    for words in making:
        module.run_command(words, check_rc=True, cwd=str(draft.scratch))
    rc, _, said = module.run_command(compiling, cwd=str(draft.scratch))
    if rc not in (0, 1):  # 1: some packages have files that are no Python 3; they stay as they are
        module.fail_json(msg=f"the byte code was not made, exit code {rc}: {said}")
    for name in (".lock", ".gitignore"):  # uv's own, of no use in a finished environment
        (draft.made / name).unlink(missing_ok=True)
    forget_when(draft.made)


if __name__ == "__main__":
    main()
