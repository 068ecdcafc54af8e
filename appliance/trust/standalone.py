"""Makes the files that an auditor carries from the package `appliance.trust.verifier`: same package, same bytes.

Rules
1. ``verify.py`` is the package's modules one after another, in the order of their imports, in one namespace. So a name
   at the top of one module may stand in no other, and modules import names of each other, never modules; what is
   imported relatively is their own.
2. ``verify.pyz`` is the package as it is, in a zip file that Python runs. Two builds of one verifier: a mistake in the
   concatenation would show as a disagreement.
3. Nothing of a build depends on the clock, the machine or the order of a folder.
"""

from __future__ import annotations

import ast
import hashlib
import io
import zipfile
from importlib import resources

PACKAGE = "appliance.trust.verifier"
_STAMP = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can say
_START = f"import sys\n\nfrom {PACKAGE}.__main__ import main\n\nsys.exit(main())\n"


def read_verify_sh() -> bytes:
    """The third opinion, which needs no Python."""
    return (resources.files(PACKAGE) / "verify.sh").read_bytes()


def build_verify_py() -> bytes:
    """The verifier as one file."""
    sources = _sources()
    imports: dict[str, set[str]] = {}
    parts = []
    for name in _in_order(sources):
        parts.append(_flatten(name, sources[name], imports))
    header = [
        "#!/usr/bin/env python3",
        f'"""{ast.get_docstring(ast.parse(sources["__init__"]))}',
        "",
        f"Generated from the package {PACKAGE}, sha256:{_digest(sources)}: change that, not this.",
        '"""',
        "",
        "from __future__ import annotations",
        "",
        *_merge(imports),
        "",
    ]
    return ("\n".join(header) + "".join(parts)).encode()


def build_pyz() -> bytes:
    """The verifier as a zip file that Python runs."""
    folder = PACKAGE.replace(".", "/")
    files = {f"{folder}/{name}.py": source for name, source in _sources().items()}
    files |= {"appliance/__init__.py": "", "appliance/trust/__init__.py": "", "__main__.py": _START}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _STAMP), files[name])
    return b"#!/usr/bin/env python3\n" + packed.getvalue()


def _sources() -> dict[str, str]:
    files = (each for each in resources.files(PACKAGE).iterdir() if each.name.endswith(".py"))
    return {each.name.removesuffix(".py"): each.read_text() for each in sorted(files, key=lambda each: each.name)}


def _digest(sources: dict[str, str]) -> str:
    return hashlib.sha256("".join(f"{name}\0{sources[name]}\0" for name in sorted(sources)).encode()).hexdigest()


def _in_order(sources: dict[str, str]) -> list[str]:
    """Each module after those that it imports; the program last."""
    done: list[str] = ["__init__"]

    def visit(name: str) -> None:
        if name not in done:
            for node in ast.parse(sources[name]).body:
                if isinstance(node, ast.ImportFrom) and node.level:
                    visit(str(node.module))
            done.append(name)

    for name in sorted(sources):
        if name != "__main__":
            visit(name)
    visit("__main__")
    return done[1:]


def _flatten(name: str, source: str, imports: dict[str, set[str]]) -> str:
    """The module without its docstring's quotes and its imports, which are added to `imports`."""
    tree = ast.parse(source)
    lines = source.split("\n")
    last = 0  # the line on which docstring and imports end
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports.setdefault(alias.name if not alias.asname else f"{alias.name} as {alias.asname}", set())
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module != "__future__":
                imports.setdefault(str(node.module), set()).update(alias.name for alias in node.names)
        elif not (isinstance(node, ast.Expr) and node is tree.body[0]):
            break
        last = node.end_lineno or last
    about = [f"# {line}".rstrip() for line in (ast.get_docstring(tree) or "").split("\n")]
    body = "\n".join(lines[last:]).strip("\n")
    return "\n".join(["", "", f"# ---- {name} " + "-" * (112 - len(name)), *about, "", body, ""])


def _merge(imports: dict[str, set[str]]) -> list[str]:
    plain = [f"import {name}" for name in sorted(imports) if not imports[name]]
    return plain + [
        f"from {name} import {', '.join(sorted(imports[name]))}" for name in sorted(imports) if imports[name]
    ]
