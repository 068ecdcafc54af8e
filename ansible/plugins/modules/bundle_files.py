#!/usr/bin/python
"""Copies a folder of the verified bundle to its place on the host, as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils import verified_bundle
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.draft import drafted, is_made_from

DOCUMENTATION = r"""
module: bundle_files
short_description: Copies a folder of the verified bundle
description:
  - Every file has the digest of the manifest, or nothing is there.
options:
  bundle: {description: Folder of the bundle on the host., type: path, required: true}
  manifest_digest: {description: Digest of its manifest., type: str, required: true}
  folder: {description: "Folder in the bundle, such as servers/minio.", type: str, required: true}
  path: {description: Where it is to be., type: path, required: true}
"""
ARGUMENTS = {
    "bundle": {"type": "path", "required": True},
    "manifest_digest": {"type": "str", "required": True},
    "folder": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
}


def make(bundle: verified_bundle.VerifiedBundle, folder: str, path: Path, *, check: bool) -> bool:
    """Whether there was, or is, something to do.

    Raises:
        BundleError: the bundle has no such folder, or is not what was verified. There is no new `path` then.
    """
    members = bundle.below(folder)
    facts = {"manifest": bundle.manifest_digest, "folder": folder}
    if is_made_from(path, facts):
        return False
    if not check:
        with drafted(path, facts) as draft:
            for member in members:
                bundle.copy(member, draft.made / member[len(folder) + 1 :])
    return True


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    try:
        bundle = verified_bundle.load(Path(told["bundle"]), told["manifest_digest"])
        changed = make(bundle, told["folder"], Path(told["path"]), check=module.check_mode)
    except verified_bundle.BundleError as error:
        module.fail_json(msg=str(error))
    after = f"{told['folder']} of {told['manifest_digest']}\n"
    module.exit_json(
        changed=changed, diff={"after_header": told["path"], "before": "" if changed else after, "after": after}
    )


if __name__ == "__main__":
    main()
