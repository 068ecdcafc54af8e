"""Licences of Debian packages: short names to SPDX, and where the copyright file lies."""

import pytest
from license_expression import Licensing

from appliance.base.errors import ApplianceError
from appliance.bundle import codes, package_licences, sbom
from appliance.bundle.copyright_file import NO_FILE, NOT_READABLE, expression, licence
from tests.local_repository import make_package

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


def machine_readable(*licences):
    return HEAD + "".join(f"\nFiles: {n}*\nCopyright: somebody\nLicense: {name}\n" for n, name in enumerate(licences))


@pytest.mark.parametrize(
    ("synopsis", "spdx"),
    [
        ("Expat", "MIT"),
        ("MIT", "MIT"),
        ("GPL-2", "GPL-2.0-only"),
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("GPL-2.0-only", "GPL-2.0-only"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("AGPL-3", "AGPL-3.0-only"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("ZLIB", "Zlib"),
        ("CC0", "CC0-1.0"),
        ("public-domain", "LicenseRef-public-domain"),
        ("LGPL", "LicenseRef-LGPL"),
        ("GPL-9+", "LicenseRef-GPL-9-or-later"),
        ("BSD_3 (of the author)", "LicenseRef-BSD-3-of-the-author"),
        ("GPL-1+ or Artistic", "Artistic-1.0-Perl OR GPL-1.0-or-later"),
        ("GPL-2+ and Expat", "GPL-2.0-or-later AND MIT"),
        ("GPL-2+ or Expat and ISC", "GPL-2.0-or-later OR ISC AND MIT"),
        ("GPL-1+ or Artistic, and Expat", "(Artistic-1.0-Perl OR GPL-1.0-or-later) AND MIT"),
        ("REGCOMP, and GPL-1+ or Artistic", "(Artistic-1.0-Perl OR GPL-1.0-or-later) AND LicenseRef-REGCOMP"),
        ("GPL-2, LGPL-2.1", "GPL-2.0-only AND LGPL-2.1-only"),
        ("Apache-2.0 OR BSD-2", "Apache-2.0 OR BSD-2-Clause"),
        ("GPL-2 with Linux-syscall-note exception", "GPL-2.0-only WITH Linux-syscall-note"),
        ("GPL-3+ with Autoconf exception", "GPL-3.0-or-later WITH Autoconf-exception-3.0"),
        ("GPL-2+ with OpenSSL exception", "LicenseRef-GPL-2-or-later-with-OpenSSL-exception"),
        (",", "LicenseRef-unnamed"),
    ],
)
def test_a_short_name_of_debian_is_an_spdx_expression(synopsis, spdx):
    assert expression(synopsis) == spdx
    Licensing().parse(spdx)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param(machine_readable("GPL-2+", "Expat", "GPL-2+"), "GPL-2.0-or-later AND MIT", id="each once, sorted"),
        pytest.param(
            machine_readable("GPL-2+ or Expat", "ISC and Zlib"),
            "(GPL-2.0-or-later OR MIT) AND ISC AND Zlib", id="a choice is one term",
        ),
        pytest.param(
            machine_readable("GPL-1+ or Artistic", "Artistic or GPL-1+"),
            "(Artistic-1.0-Perl OR GPL-1.0-or-later)", id="a choice in another order is the same",
        ),
        pytest.param(machine_readable("Expat\n The text of it, or GPL-2."), "MIT", id="the text below is not read"),
        pytest.param(
            machine_readable("Expat") + "\nLicense: ISC\n The text.\n", "MIT", id="a text that no file has is none",
        ),
        pytest.param(HEAD + "\nFiles: *\nCopyright: x\n", NOT_READABLE, id="no licence told"),
        pytest.param("This is free software.\n", NOT_READABLE, id="words"),
        pytest.param(
            "See /usr/share/common-licenses/GPL-2. And\n`/usr/share/common-licenses/Apache-2.0', GPL-3.",
            f"{NOT_READABLE}, it refers to Apache-2.0, GPL-2", id="words with references",
        ),
        pytest.param(
            machine_readable("Expat").replace("Format:", "Format-Specification:"), "MIT", id="a draft of the format",
        ),
        pytest.param(
            "A word before.\n\n" + machine_readable("Expat"), NOT_READABLE, id="the format is not told first",
        ),
        pytest.param(HEAD + "License: ISC\n\nFiles: *\nLicense: Expat\n", "MIT", id="that of the whole is not read"),
        pytest.param(machine_readable("\n GPL-2"), NOT_READABLE, id="a text without a short name"),
        pytest.param("\x00\ufffd", NOT_READABLE, id="noise"),
        pytest.param("", NOT_READABLE, id="empty"),
    ],
)  # fmt: skip
def test_the_licence_of_a_copyright_file(text, told):
    assert licence(text) == told


def found(pool, name, known):
    return package_licences.licence(name, lambda asked, asker: pool / known[asked] if asked in known else None)


def test_the_licence_is_read_inside_the_package(tmp_path):
    made = make_package(tmp_path, "plain", doc=machine_readable("Expat"))
    assert found(tmp_path, "plain", {"plain": made.name}) == "MIT"
    bare = make_package(tmp_path, "bare")
    assert found(tmp_path, "bare", {"bare": bare.name}) == NO_FILE


@pytest.mark.parametrize(
    ("links", "told"),
    [
        ({"one": "two"}, "ISC"),
        ({"one": "../doc/two"}, "ISC"),
        ({"one": "/usr/share/doc/two"}, "ISC"),
        ({"one": "three", "three": "two"}, "ISC"),
        ({"one": "one"}, NO_FILE),
        ({"one": "absent"}, NO_FILE),
        ({"one": "../../../etc"}, NO_FILE),
    ],
    ids=lambda value: " ".join(f"{one}->{other}" for one, other in value.items()) if isinstance(value, dict) else "",
)
def test_a_doc_folder_that_is_a_link_leads_to_the_package_whose_licence_counts(tmp_path, links, told):
    known = {name: make_package(tmp_path, name, link=link).name for name, link in links.items()}
    known["two"] = make_package(tmp_path, "two", doc=machine_readable("ISC")).name
    assert found(tmp_path, "one", known) == told


@pytest.mark.parametrize("packed", ["none", "gzip", "xz"])
def test_a_package_is_read_however_it_is_packed(tmp_path, packed):
    path = make_package(tmp_path, "plain", doc=machine_readable("Expat"), packed=packed)
    assert package_licences.read(path, "plain").text == machine_readable("Expat")


def part(name, size):
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{size:<10}`\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"!<arch>\n", id="no part"),
        pytest.param(b"no archive", id="no archive"),
        pytest.param(b"!<arch>\n" + bytes(300), id="noise"),
        pytest.param(b"!<arch>\n" + part("x", -60), id="a part that leads to itself"),
        pytest.param(b"!<arch>\n" + part("/", -60), id="a table that leads to itself"),
        pytest.param(b"!<arch>\n" + part("data.tar.zst", 4) + b"\x28\xb5\x2f\xfd", id="zstd"),
        pytest.param(b"!<arch>\n" + part("data.tar.xz", 600) + b"\xfd7zXZ\0", id="cut off"),
        pytest.param(b"!<arch>\n" + part("data.tar.xz", 60) + b"\xfd7zXZ\0" + bytes(54), id="no xz"),
        pytest.param(b"!<arch>\n" + part("data.tar.gz", 60) + b"\x1f\x8b\x08" + bytes(57), id="no gzip"),
    ],
)
def test_what_is_no_package_is_refused(tmp_path, data):
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    with pytest.raises(ApplianceError) as error:
        package_licences.read(path, "x")
    assert error.value.code == codes.DIGEST_DIFFERS


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("MIT", "id"),
        ("GPL-2.0-only AND MIT", "expression"),
        ("(Artistic-1.0-Perl OR GPL-1.0-or-later) AND LicenseRef-REGCOMP", "expression"),
        ("LicenseRef-public-domain", "expression"),
        (f"{NOT_READABLE}, it refers to GPL-2", "name"),
    ],
)
def test_the_bill_of_materials_has_expressions_as_such(words, key):
    made = sbom.licence(words)
    assert (getattr(made, "id", None) or getattr(made, "value", None) or getattr(made, "name", None)) == words
    assert {"id": "id", "value": "expression", "name": "name"}[
        next(each for each in ("value", "id", "name") if getattr(made, each, None))
    ] == key
