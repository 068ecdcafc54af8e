"""Proofs against an oracle that follows the recursive definitions of RFC 6962 section 2.1 word for word."""

from __future__ import annotations

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.trust import merkle

SIZES = st.integers(min_value=1, max_value=200)


def leaves(size: int) -> list[bytes]:
    return [merkle.leaf_hash(b"%d" % index) for index in range(size)]


def naive_root(row: list[bytes]) -> bytes:
    """MTH of RFC 6962."""
    if not row:
        return hashlib.sha256(b"").digest()
    if len(row) == 1:
        return row[0]
    middle = 1
    while middle * 2 < len(row):
        middle *= 2
    return hashlib.sha256(b"\1" + naive_root(row[:middle]) + naive_root(row[middle:])).digest()


def naive_path(index: int, row: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962."""
    if len(row) == 1:
        return []
    middle = 1
    while middle * 2 < len(row):
        middle *= 2
    if index < middle:
        return [*naive_path(index, row[:middle]), naive_root(row[middle:])]
    return [*naive_path(index - middle, row[middle:]), naive_root(row[:middle])]


def naive_proof(first: int, row: list[bytes], *, whole: bool = True) -> list[bytes]:
    """SUBPROOF of RFC 6962."""
    if first == len(row):
        return [] if whole else [naive_root(row)]
    middle = 1
    while middle * 2 < len(row):
        middle *= 2
    if first <= middle:
        return [*naive_proof(first, row[:middle], whole=whole), naive_root(row[middle:])]
    return [*naive_proof(first - middle, row[middle:], whole=False), naive_root(row[:middle])]


class TestRoot:
    """MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))."""

    @given(st.integers(min_value=0, max_value=600))
    def test_equals_the_definition(self, size: int) -> None:
        assert merkle.root(leaves(size)) == naive_root(leaves(size))

    def test_known_answers(self) -> None:
        """From the test data of the Certificate Transparency project."""
        assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
        row = [merkle.leaf_hash(bytes.fromhex(text)) for text in inputs]
        assert merkle.root(row[:1]).hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        assert merkle.root(row[:3]).hex() == "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
        assert merkle.root(row).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


class TestInclusion:
    """A path proves an entry at its index, and nothing else."""

    @settings(max_examples=200)
    @given(st.data())
    def test_proofs_are_the_definition_and_verify(self, data: st.DataObject) -> None:
        size = data.draw(SIZES)
        index = data.draw(st.integers(min_value=0, max_value=size - 1))
        row = leaves(size)
        path = merkle.inclusion_path(index, size, lambda low, high: naive_root(row[low:high]))
        assert path == naive_path(index, row)
        assert merkle.is_included(row[index], index, size, path, naive_root(row))

    @settings(max_examples=200)
    @given(st.data())
    def test_every_change_is_refused(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(min_value=2, max_value=200))
        index = data.draw(st.integers(min_value=0, max_value=size - 1))
        row = leaves(size)
        root, path = naive_root(row), naive_path(index, row)
        other = data.draw(st.integers(min_value=0, max_value=size - 1).filter(lambda value: value != index))
        step = data.draw(st.integers(min_value=0, max_value=len(path) - 1))
        bad_path = [*path[:step], merkle.leaf_hash(path[step]), *path[step + 1 :]]
        assert not merkle.is_included(row[index], index, size, bad_path, root)
        assert not merkle.is_included(row[index], other, size, path, root)
        assert not merkle.is_included(row[other], index, size, path, root)
        assert not merkle.is_included(row[index], index, size, path[:-1], root)
        assert not merkle.is_included(row[index], index, size, [*path, root], root)
        assert not merkle.is_included(row[index], size, size, path, root)
        assert not merkle.is_included(row[index], -1, size, path, root)


class TestConsistency:
    """A proof shows that one tree is a prefix of the other."""

    @settings(max_examples=200)
    @given(st.data())
    def test_proofs_are_the_definition_and_verify(self, data: st.DataObject) -> None:
        second = data.draw(SIZES)
        first = data.draw(st.integers(min_value=1, max_value=second))
        row = leaves(second)
        path = merkle.consistency_path(first, second, lambda low, high: naive_root(row[low:high]))
        assert path == naive_proof(first, row)
        assert merkle.is_consistent(first, second, naive_root(row[:first]), naive_root(row), path)

    @settings(max_examples=200)
    @given(st.data())
    def test_a_fork_is_refused(self, data: st.DataObject) -> None:
        second = data.draw(st.integers(min_value=2, max_value=200))
        first = data.draw(st.integers(min_value=1, max_value=second - 1))
        changed = data.draw(st.integers(min_value=0, max_value=first - 1))
        row = leaves(second)
        forked = [merkle.leaf_hash(b"other") if index == changed else leaf for index, leaf in enumerate(row)]
        path = naive_proof(first, row)
        assert not merkle.is_consistent(first, second, naive_root(forked[:first]), naive_root(row), path)
        assert not merkle.is_consistent(first, second, naive_root(row[:first]), naive_root(forked), path)
        assert not merkle.is_consistent(second, first, naive_root(row), naive_root(row[:first]), path)
        assert not merkle.is_consistent(first, second, naive_root(row[:first]), naive_root(row), [*path, row[0]])

    def test_the_empty_tree_is_a_prefix_of_every_tree(self) -> None:
        root = naive_root(leaves(5))
        assert merkle.consistency_path(0, 5, lambda low, high: b"") == []
        assert merkle.is_consistent(0, 5, merkle.EMPTY_ROOT, root, [])
        assert not merkle.is_consistent(0, 5, root, root, [])
        assert not merkle.is_consistent(3, 5, root, root, [])
