"""Plain YAML: what was written is read, and whatever bytes come, only ValueError leaves."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.plain_yaml import parse

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cn", "Zl", "Zp"]), max_size=20
)  # YAML folds its line ends
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, PLAIN, max_size=5))
def test_what_was_written_is_read(document: dict[str, object]) -> None:
    class NoAliases(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True

    assert parse(yaml.dump(document, Dumper=NoAliases, allow_unicode=True).encode()) == document


@given(st.binary(max_size=200) | st.text(alphabet="-:[]{}?*&!|>'\"#%@`, \nab01", max_size=80).map(str.encode))
def test_only_the_declared_error_leaves(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        parse(data)


@pytest.mark.parametrize("text", ["{" * 5_000, "- " * 5_000 + "x", "[" * 200_000, "a: " * 2_000])
def test_depth_is_an_error_and_not_a_crash(text: str) -> None:
    with pytest.raises(ValueError, match=r"deeper|expected|mapping values"):
        parse(text.encode())
