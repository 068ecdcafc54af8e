"""The licence of a Debian package as its copyright file tells it. Pure.

Rules
1. A machine-readable file (Debian's copyright format 1.0, DEP-5) gives an SPDX expression: what the ``License`` of
   every ``Files`` paragraph says, each once, in order, joined by AND. The texts below the short names are not read.
2. Debian's short names become SPDX identifiers where they mean the same. Any other is ``LicenseRef-`` and Debian's
   word: it names a text in the copyright file, and nobody guesses which licence it resembles.
3. Any other file gives words: where to read, and the common licences that it refers to. A reference is no grant, so
   these words are no expression.

Source: Debian copyright format 1.0, "License syntax"; SPDX 2.3, annex D.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cyclonedx import spdx
from debian_inspector.deb822 import get_paragraphs_as_field_groups

NO_FILE = "no copyright file"
NOT_READABLE = "see copyright file"

_FORMAT = {"format", "format-specification"}  # one of them is in the first paragraph of a machine-readable file
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*[A-Za-z0-9+])")
_VERSIONED = re.compile(r"(A?GPL|LGPL|GFDL)(-NIV)?-(\d)(?:\.(\d))?(?:\.0)?(\+|-only|-or-later)?", re.IGNORECASE)
_EXCEPTION = re.compile(r"(?P<name>\S+)\s+with\s+(?P<exception>.+?)(?:\s+exceptions?)?", re.IGNORECASE)
_JOINTS = (r"\s*,\s*and\s+", r"\s*,\s*or\s+", r"\s*,\s*", r"\s+or\s+|\s*\|\s*", r"\s+and\s+")
"""From the loosest: a comma before a word makes it looser than any word alone."""
_IS_OR = (False, True, False, True, False)
_NAMES = {
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0-Perl",  # what /usr/share/common-licenses/Artistic is
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "edl-1.0": "BSD-3-Clause",  # the Eclipse Distribution License is this text
    "expat": "MIT",
    "mpl-2": "MPL-2.0",
    "openldap-2.8": "OLDAP-2.8",
}
_EXCEPTIONS = {
    "autoconf": {"2": "Autoconf-exception-2.0", "3": "Autoconf-exception-3.0"},
    "bison": {"2": "Bison-exception-2.2", "3": "Bison-exception-2.2"},
    "libtool": {"2": "Libtool-exception", "3": "Libtool-exception"},
    "linux-syscall-note": {"2": "Linux-syscall-note"},
}
"""Debian's word -> major version of the GPL that it stands beside -> SPDX's."""


def licence(text: str) -> str:
    """An SPDX expression, or `NOT_READABLE` with the common licences that the text refers to."""
    terms = {term for synopsis in _synopses(text) if synopsis for term in _parts_of_and(expression(synopsis))}
    if terms:
        return " AND ".join(sorted(terms))
    common = sorted(set(_COMMON.findall(text)))
    return f"{NOT_READABLE}, it refers to {', '.join(common)}" if common else NOT_READABLE


def _synopses(text: str) -> list[str]:
    """The first line of ``License`` in each ``Files`` paragraph; none when the file is not machine-readable."""
    paragraphs = [{each.name: each.text for each in fields} for fields in get_paragraphs_as_field_groups(text)]
    if not paragraphs or not _FORMAT & paragraphs[0].keys():
        return []
    licences = [each.get("license", "") for each in paragraphs if "files" in each]
    return [each.partition("\n")[0].strip() for each in licences]


def expression(synopsis: str) -> str:
    """The first line of a ``License`` field as SPDX expression."""
    return _join(" ".join(synopsis.split()), 0)


def _join(text: str, level: int) -> str:
    if level == len(_JOINTS):
        return _identifier(text)
    parts = [_join(each, level + 1) for each in re.split(_JOINTS[level], text, flags=re.IGNORECASE) if each.strip()]
    if len(parts) < 2:
        return parts[0] if parts else _reference(text)
    is_or = _IS_OR[level]
    unique = sorted(set(parts))
    # AND binds closer than OR, in SPDX as here.
    return (" OR " if is_or else " AND ").join(each if is_or or " OR " not in each else f"({each})" for each in unique)


def _parts_of_and(told: str) -> Iterator[str]:
    """The terms of an expression's outermost AND; one that is an OR is a term in parentheses."""
    depth, start = 0, 0
    parts = []
    outer_or = False
    for match in re.finditer(r"[()]| AND | OR ", told):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if depth == 0 and match[0] == " AND ":
            parts.append(told[start : match.start()])
            start = match.end()
        outer_or |= depth == 0 and match[0] == " OR "
    yield from [f"({told})"] if outer_or else [*parts, told[start:]]


def _identifier(name: str) -> str:
    match = _EXCEPTION.fullmatch(name)
    if match is None:
        return _known(name) or _reference(name)
    base = _known(match["name"])
    major = re.search(r"GPL-(\d)", base or "")
    found = _EXCEPTIONS.get(match["exception"].lower(), {}).get(major[1]) if major else None
    return f"{base} WITH {found}" if base and found else _reference(name)


def _known(name: str) -> str | None:
    match = _VERSIONED.fullmatch(name)
    if match:
        family, plain, major, minor, later = match.groups()
        invariants = "-no-invariants" if plain else ""
        made = f"{family}-{major}.{minor or 0}{invariants}{'-or-later' if later in ('+', '-or-later') else '-only'}"
        found: str | None = spdx.fixup_id(made)
        return found
    return _NAMES.get(name.lower()) or spdx.fixup_id(name)


def _reference(name: str) -> str:
    return f"LicenseRef-{re.sub(r'[^A-Za-z0-9.-]+', '-', name.replace('+', '-or-later')).strip('-.') or 'unnamed'}"
