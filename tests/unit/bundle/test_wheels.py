"""Pip locks as we read them, licences of wheels, and what a failed pip means."""

import zipfile

import pytest

from appliance.base.errors import ApplianceError
from appliance.bundle.wheels import TARGET, Pin, arrived, code_of, licence, parse_pins, read_metadata
from tests.bundle_checkout import an_input

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_a_pin_has_every_digest_that_its_lock_allows():
    text = f"one==1.0 \\\n    --hash={A} \\\n    --hash={B}\nTwo.x==2!1+local \\\n    --hash={B}\n\n"
    assert parse_pins(text, where="x") == [
        Pin(name="one", version="1.0", digests=frozenset([A, B])),
        Pin(name="Two.x", version="2!1+local", digests=frozenset([B])),
    ]
    assert parse_pins(text, where="x")[0].requirement == f"one==1.0 --hash={A} --hash={B}"


@pytest.mark.parametrize(
    "line",
    [
        "one==1.0",
        f"one>=1.0 --hash={A}",
        f"one==1.0 ; sys_platform == 'win32' --hash={A}",
        f"one==1.0 --hash={A} --hash=md5:00",
        f"one @ file:one.whl --hash={A}",
        f"--index-url=x --hash={A}",
        f"one==1.0 --hash={A}0",
    ],
)
def test_a_line_without_one_version_and_its_digests_is_refused(line):
    with pytest.raises(ApplianceError) as caught:
        parse_pins(f"{line}\n", where="offline_wheels/x.lock")
    assert (caught.value.code.id, caught.value.where) == ("APL-BUNDLE-001", "offline_wheels/x.lock")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("License-Expression: Apache-2.0 OR MIT\nLicense: other", "Apache-2.0 OR MIT"),
        ("License: BSD", "BSD"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", "MIT License"),
        ("License: Copyright\n        and a long text", ""),
        (f"License: {'x' * 121}\nClassifier: License :: OSI Approved :: A\nClassifier: License :: B", "A; B"),
        ("Name: one", ""),
    ],
)
def test_the_licence_is_the_wheels_own_word(headers, expected):
    assert licence(f"Metadata-Version: 2.4\n{headers}\n\nLicense: in the text, which does not count\n") == expected


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "004"),
        ("OSError: [Errno 28] No space left on device", "016"),
        ("WARNING: Retrying (Retry(total=0)) after\nERROR: No matching distribution found for x==1", "005"),
        ("ERROR: Could not find a version that satisfies the requirement x==1\nERROR: No matching", "003"),
    ],
)
def test_what_a_failed_pip_means(words, code):
    assert code_of(words).id == f"APL-BUNDLE-{code}"


def test_a_file_belongs_to_the_pin_that_allows_its_digest(tmp_path):
    (tmp_path / "one-1.0-py3-none-any.whl").write_bytes(b"one")
    (tmp_path / "stray-1.0-py3-none-any.whl").write_bytes(b"stray")
    wanted = Pin(name="one", version="1.0", digests=frozenset([an_input("wheels/x", b"one").digest, A]))
    absent = Pin(name="two", version="1.0", digests=frozenset([B]))
    found = arrived(tmp_path, [wanted, absent])
    assert found == {wanted: (tmp_path / "one-1.0-py3-none-any.whl", an_input("wheels/x", b"one").digest)}


def test_metadata_is_that_of_the_wheel_itself(tmp_path):
    wheel = tmp_path / "one-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("one/vendored.dist-info/METADATA", "License: no")
        archive.writestr("one-1.0.dist-info/METADATA", "License: yes")
    assert licence(read_metadata(wheel)) == "yes"
    wheel.write_bytes(b"no archive")
    with pytest.raises(ApplianceError) as caught:
        read_metadata(wheel)
    assert caught.value.code.id == "APL-BUNDLE-004"


def test_the_target_is_debian_12_whatever_this_machine_is():
    assert TARGET[:2] == ("--python-version", "3.11")
    assert "manylinux_2_36_x86_64" in TARGET
    assert "manylinux_2_37_x86_64" not in TARGET
    assert not [each for each in TARGET if "musl" in each or "aarch64" in each]
