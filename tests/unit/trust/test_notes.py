"""Checkpoints: one byte form, one signer."""

from __future__ import annotations

import pytest

from appliance.base.errors import ApplianceError
from appliance.trust import keys, notes

KEY = keys.generate("ed25519")
LOG = notes.log_key("log.test", KEY.public)
ROOT = bytes(range(32))
NOTE = notes.sign_checkpoint(KEY, LOG, 7, ROOT)


def test_round_trip() -> None:
    head = notes.open_checkpoint(NOTE, LOG)
    assert (head.origin, head.size, head.root, head.note) == ("log.test", 7, ROOT, NOTE)


def test_the_verifier_key_has_one_text_form() -> None:
    again = notes.parse_log_key(LOG.text() + "\n")
    assert (again.origin, again.id, again.text()) == (LOG.origin, LOG.id, LOG.text())


@pytest.mark.parametrize("position", range(len(NOTE)))
def test_every_changed_byte_is_refused(position: int) -> None:
    bad = NOTE[:position] + bytes([NOTE[position] ^ 1]) + NOTE[position + 1 :]
    with pytest.raises(ApplianceError) as caught:
        notes.open_checkpoint(bad, LOG)
    assert caught.value.code.id == "APL-TRUST-003"


SIGNATURE = NOTE.split(b"\n\n")[1]
WITNESS = "\u2014 witness.test AAAAAAAAAAAA\n".encode()


@pytest.mark.parametrize(
    ("note", "message"),
    [
        (b"", "no signature lines"),
        (NOTE[:-1], "no signature lines"),
        (NOTE + SIGNATURE, "expected one signature line of the log, got 2"),
        (NOTE.split(b"\n\n")[0] + b"\n\n" + WITNESS, "expected one signature line of the log, got 0"),
        (NOTE.replace(b"\n7\n", b"\n07\n"), "another spelling"),
        (NOTE.replace(b"\n7\n", b"\n-7\n"), "out of range"),
        (NOTE.replace(b"\n7\n", b"\n7\nextra\n"), "not a checkpoint"),
        (b"x" * 70_000, "at most 65536"),
        (notes.sign_checkpoint(KEY, notes.log_key("log.other", KEY.public), 7, ROOT), "expected the log 'log.test'"),
    ],
)
def test_malformed_notes(note: bytes, message: str) -> None:
    with pytest.raises(ApplianceError, match=message):
        notes.open_checkpoint(note, LOG)


def test_lines_of_others_are_kept() -> None:
    assert notes.open_checkpoint(NOTE + WITNESS, LOG).size == 7


@pytest.mark.parametrize(
    "lines", [SIGNATURE, SIGNATURE + WITNESS, WITNESS + SIGNATURE], ids=["alone", "before", "after"]
)
def test_lines_of_others_are_left_out(lines: bytes) -> None:
    head = notes.open_checkpoint(NOTE.removesuffix(SIGNATURE) + lines, LOG)
    assert notes.without_others(head, LOG) == NOTE


def test_another_key_is_refused() -> None:
    other = notes.log_key("log.test", keys.generate("ed25519").public)
    with pytest.raises(ApplianceError, match="got 0"):
        notes.open_checkpoint(NOTE, other)


@pytest.mark.parametrize(
    "text",
    ["", "a+b", "log.test+00000000+AQ==", LOG.text().replace("+", "+0", 1)],
    ids=["empty", "two parts", "other hash", "longer hash"],
)
def test_bad_verifier_keys(text: str) -> None:
    with pytest.raises(ApplianceError) as caught:
        notes.parse_log_key(text)
    assert caught.value.code.id == "APL-TRUST-005"
