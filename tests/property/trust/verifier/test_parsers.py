"""The second verifier's parsers: one spelling per value, no error but ValueError, and the first verifier as oracle."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib

import pytest
from asn1crypto import core
from hypothesis import given
from hypothesis import strategies as st

from appliance.base.canonical import canonical as other_canonical
from appliance.trust import merkle as other_merkle
from appliance.trust.verifier import der, encoding, log

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=5), each, max_size=4),
    max_leaves=12,
).filter(lambda value: _has_no_surrogate(value))


NAIVE = st.datetimes(allow_imaginary=False)  # times without a zone, which the tests give them


def _has_no_surrogate(value: object) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in str(value))


class TestMerkle:
    """RFC 6962 section 2.1: the same roots and proofs as the implementation that writes the log."""

    @given(st.lists(st.binary(max_size=4), max_size=70), st.data())
    def test_roots_and_proofs_agree(self, entries: list[bytes], data: st.DataObject) -> None:
        tree = log.Tree(bytearray().join(log.leaf_hash(entry) for entry in entries))
        leaves = [other_merkle.leaf_hash(entry) for entry in entries]
        size = data.draw(st.integers(0, len(entries)))
        assert tree.root(size) == other_merkle.root(leaves[:size])
        if size:
            index = data.draw(st.integers(0, size - 1))
            path = other_merkle.inclusion_path(index, size, lambda low, high: other_merkle.root(leaves[low:high]))
            assert log.root_of(leaves[index], index, size, path) == tree.root(size)
            with pytest.raises(ValueError, match="too long"):
                log.root_of(leaves[index], index, size, [*path, bytes(32)])

    @given(st.integers(-2, 9), st.integers(-2, 9), st.lists(st.just(bytes(32)), max_size=6))
    def test_any_proof_is_answered_as_the_other_does(self, index: int, size: int, path: list[bytes]) -> None:
        try:
            root = log.root_of(bytes(32), index, size, path)
        except ValueError:
            root = None
        expected = root is not None and other_merkle.is_included(bytes(32), index, size, path, root)
        assert (root is not None) == expected


class TestDer:
    """X.690: what a writer of DER writes is read; everything else is a ValueError."""

    @given(st.binary(max_size=400))
    def test_round_trip(self, content: bytes) -> None:
        assert der.read_node(der.write_node(der.OCTET_STRING, content)).content == content
        assert der.write_node(der.OCTET_STRING, content) == core.OctetString(content).dump()

    @given(st.integers(-(2**70), 2**70))
    def test_integers(self, value: int) -> None:
        assert der.read_node(core.Integer(value).dump()).integer() == value

    @given(st.lists(st.integers(0, 2**40), max_size=6), st.integers(0, 2), st.integers(0, 39))
    def test_object_identifiers(self, arcs: list[int], first: int, second: int) -> None:
        text = ".".join(str(arc) for arc in (first, second, *arcs))
        assert der.read_node(core.ObjectIdentifier(text).dump()).oid() == text

    @given(NAIVE.filter(lambda when: 1950 <= when.year < 2050))
    def test_times(self, when: dt.datetime) -> None:
        moment = when.replace(microsecond=0, tzinfo=dt.UTC)
        assert der.read_node(core.UTCTime(moment).dump()).time() == moment
        assert der.read_node(core.GeneralizedTime(moment).dump()).time() == moment

    @given(st.binary(max_size=60))
    def test_any_bytes(self, data: bytes) -> None:
        try:
            nodes = der.read_nodes(data)
        except ValueError:
            return
        assert b"".join(node.raw for node in nodes) == data
        assert b"".join(der.write_node(node.tag, node.content) for node in nodes) == data
        for node in nodes:
            for read in (node.oid, node.integer, node.boolean, node.bits, node.time, node.children):
                try:
                    read()
                except ValueError:
                    continue

    @pytest.mark.parametrize(
        "data",
        ["0280", "028001000000", "02810100", "0282000100", "02850000000001", "1f0100", "02", "0202007f", "0201"],
    )
    def test_other_spellings_are_refused(self, data: str) -> None:
        with pytest.raises(ValueError, match="DER"):
            der.read_node(bytes.fromhex(data)).integer()


class TestEncoding:
    """Base64, canonical JSON and times have one spelling."""

    @given(st.binary(max_size=40), st.text("AB+/=\n -_", max_size=8))
    def test_base64(self, data: bytes, text: str) -> None:
        assert encoding.decode_base64(base64.b64encode(data).decode()) == data
        with contextlib.suppress(ValueError):
            assert base64.b64encode(encoding.decode_base64(text)).decode() == text

    @given(JSON)
    def test_canonical_json(self, value: object) -> None:
        assert encoding.canonical(value) == other_canonical(value)
        assert encoding.parse_canonical(other_canonical(value)) == value

    @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        try:
            value = encoding.parse_canonical(data)
        except ValueError:
            return
        assert encoding.canonical(value) == data

    @given(NAIVE)
    def test_times(self, when: dt.datetime) -> None:
        text = when.replace(microsecond=0).isoformat() + "Z"
        assert encoding.show_times(encoding.parse_time(text)) == text

    @pytest.mark.parametrize(
        "text", ["2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+00:00", "2026-13-01T00:00:00Z"]
    )
    def test_other_times(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"time|month"):
            encoding.parse_time(text)


class TestNotes:
    """C2SP signed notes: any bytes are a checkpoint or a ValueError."""

    @given(st.binary(max_size=200) | st.text("o\n1A= \u2014", max_size=80).map(str.encode))
    def test_any_bytes(self, data: bytes) -> None:
        try:
            note = log.Checkpoint(data)
        except ValueError:
            return
        assert data.startswith(note.text + b"\n")

    @given(st.text("logwitnesqurmp 1230any+\n#", max_size=80))
    def test_any_policy(self, text: str) -> None:
        try:
            policy = log.WitnessPolicy(text.encode())
        except ValueError:
            return
        assert policy.is_none or policy.witnesses

    @given(st.sets(st.sampled_from("abcde")), st.integers(1, 3), st.integers(1, 2))
    def test_nested_quorums(self, who: set[str], first: int, second: int) -> None:
        keys = {name: hashlib.sha256(name.encode()).digest() for name in "abcde"}
        lines = [f"witness {name} {_witness(name, key)}" for name, key in keys.items()]
        lines += [f"group x {first} a b c", f"group y {second} d e", "group z all x y", "quorum z", ""]
        policy = log.WitnessPolicy("\n".join(lines).encode())
        expected = len(who & set("abc")) >= first and len(who & set("de")) >= second
        assert policy.meets(frozenset(who)) == expected


def _witness(name: str, key: bytes) -> str:
    raw = b"\4" + key
    mark = hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8]
    return f"{name}+{mark}+{base64.b64encode(raw).decode()}"
