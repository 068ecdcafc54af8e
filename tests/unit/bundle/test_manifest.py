"""Manifests, locks and names: what a reader takes, and what it refuses with which code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.bundle import codes, manifest
from appliance.bundle.member_path import case_clash, fault_of
from tests.bundles import write


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("a", True), ("apt/pool/libstdc++6_12.2.0-14+deb12u1_amd64.deb", True), ("x_1%3a2.0~rc1-1_amd64.deb", True),
        ("a/b/c/d/e/f/g/h", True), ("a/b/c/d/e/f/g/h/i", False), ("a" * 128, True), ("a" * 129, False),
        ("/".join(["a" * 60] * 4), False), ("", False), ("/a", False), ("a/", False), ("a//b", False), (".", False),
        ("..", False), ("a/../b", False), (".hidden", False), ("-rf", False), ("~root", False), ("a.", False),
        ("a/b.", False), ("a b", False), ("a\nb", False), ("a\\b", False), ("a:b", False), ("ä", False), ("a\0", False),
    ],
)  # fmt: skip
def test_names(path: str, good: bool) -> None:
    assert (fault_of(path) == "") is good


@pytest.mark.parametrize(
    ("paths", "clash"),
    [
        (["a", "b"], None), (["docs/a", "docs/b"], None), (["a", "A"], ("a", "A")),
        (["docs/x", "Docs/y"], ("docs", "Docs")), (["a/b", "a/B/c"], ("a/b", "a/B")),
    ],
)  # fmt: skip
def test_names_that_differ_in_case(paths: list[str], clash: tuple[str, str] | None) -> None:
    assert case_clash(paths) == clash


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(write(tmp_path_factory.mktemp("bundle") / "demo"))
    return made


def test_it_is_read_as_it_was_written(good: dict[str, Any]) -> None:
    assert msgspec.to_builtins(manifest.parse(canonical(good))) == good


def renamed(path: str) -> Callable[[dict[str, Any]], object]:
    def change(document: dict[str, Any]) -> None:
        document["members"][0]["path"] = path
        document["members"].sort(key=lambda each: each["path"])

    return change


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "an unknown key": lambda each: each.update(more=1),
    "a missing key": lambda each: each.pop("lock"),
    "another format": lambda each: each.update(format="appliance-bundle/2"),
    "a version of two numbers": lambda each: each.update(version="1.2"),
    "a version with a leading zero": lambda each: each.update(version="1.02.0"),
    "a name that is a path": lambda each: each.update(bundle="../x"),
    "a digest in capitals": lambda each: each.update(lock=each["lock"].upper()),
    "members out of order": lambda each: each["members"].reverse(),
    "a member twice": lambda each: each["members"].insert(0, each["members"][0]),
    "a negative size": lambda each: each["members"][0].update(size_bytes=-1),
    "a part that there is not": lambda each: each["members"][0].update(part="boot"),
    "a path that leaves": renamed("../../etc/cron.d/x"),
    "an absolute path": renamed("/etc/passwd"),
    "the manifest as a member": renamed("manifest.json"),
    "a signature as a member": renamed("apt/appliance.gpg"),
    "evidence as a member": renamed("trust/tlog-policy"),
    "two names that differ in case": renamed("DOCS/index.html"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_another_form_is_refused(good: dict[str, Any], name: str) -> None:
    document = copy.deepcopy(good)
    CHANGES[name](document)
    with pytest.raises(ApplianceError) as caught:
        manifest.parse(canonical(document))
    assert caught.value.code is codes.MANIFEST_INVALID


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(ApplianceError) as caught:
        manifest.parse(data)
    assert caught.value.code is codes.MANIFEST_INVALID


def test_other_spellings_are_refused(good: dict[str, Any], tmp_path: Path) -> None:
    for data in (msgspec.json.encode(good), canonical(good) + b"\n", canonical(good).replace(b":", b": ", 1)):
        if data != canonical(good):
            with pytest.raises(ApplianceError):
                manifest.parse(data)
