"""Data keys in files: durable, one for each subject, destroyed for good; what they seal is bound to its place."""

import sqlite3

import pytest

from appliance.base.clock import FixedClock
from appliance.base.errors import ApplianceError
from appliance.trust.data_keys import ID_BYTES, DataKeys
from appliance.trust.data_keys_wrap import NAME, open_wrapping
from appliance.trust.keys import FileKeys
from tests.small_site import NOW

PLACE = b"silver.customers/card/spool:x/7/1"


def data_keys(folder, passphrase=None):
    store = FileKeys(folder / "keys", passphrase)
    return DataKeys(folder / "data", lambda: open_wrapping(store), FixedClock(NOW))


def key_of(keys, name, kind="subject"):
    id = keys.id_of(kind, name)
    return keys.ensure([id])[id]


def code_of(caught):
    return caught.value.code.id


def test_a_subject_has_one_key_for_ever(tmp_path):
    sealed = key_of(data_keys(tmp_path), "c-1").seal(b"4111", PLACE)
    assert key_of(data_keys(tmp_path), "c-1").open(sealed, PLACE) == b"4111"
    assert key_of(data_keys(tmp_path), "c-1").seal(b"4111", PLACE) == sealed  # a retry writes the same bytes
    assert key_of(data_keys(tmp_path), "c-2").seal(b"4111", PLACE) != sealed


DAMAGES = [
    ("another place", lambda sealed: sealed, b"silver.customers/card/spool:x/7/2"),
    ("a bit", lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]), PLACE),
    ("cut short", lambda sealed: sealed[: ID_BYTES + 5], PLACE),
    ("nothing left", lambda sealed: b"", PLACE),
]


@pytest.mark.parametrize(("damage", "place"), [case[1:] for case in DAMAGES], ids=[case[0] for case in DAMAGES])
def test_what_was_altered_or_moved_does_not_open(tmp_path, damage, place):
    key = key_of(data_keys(tmp_path), "c-1")
    with pytest.raises(ApplianceError) as caught:
        key.open(damage(key.seal(b"4111", PLACE)), place)
    assert code_of(caught) == "APL-TRUST-038"


def test_an_erased_key_is_gone_and_never_made_again(tmp_path):
    keys = data_keys(tmp_path)
    key_of(keys, "c-1")
    id = keys.id_of("subject", "c-1")
    with sqlite3.connect(tmp_path / "data" / "keys.db") as database:
        ((wrapped,),) = database.execute("select wrapped from data_key where id = ?", [id]).fetchall()
    assert keys.erase([id]) == 1
    assert keys.ensure([id]) == {id: None}
    assert data_keys(tmp_path).ensure([id]) == {id: None}
    assert keys.erase([id]) == 0
    for path in (tmp_path / "data").iterdir():
        assert wrapped not in path.read_bytes(), path


def test_a_subject_without_a_key_can_be_barred(tmp_path):
    keys = data_keys(tmp_path)
    id = keys.id_of("subject", "c-9")
    assert keys.get([id]) == {}
    assert keys.erase([id]) == 0
    assert keys.ensure([id]) == {id: None}


def test_tokens_are_equal_for_equal_values_of_a_kind_and_a_site(tmp_path):
    keys, again, other = data_keys(tmp_path / "a"), data_keys(tmp_path / "a"), data_keys(tmp_path / "b")
    assert keys.token("pii.card", "4111") == again.token("pii.card", "4111")
    assert len({each.token(*what) for each in (keys, other) for what in (("a", "bc"), ("ab", "c"), ("a", "b"))}) == 6


def test_the_file_names_nobody_and_only_its_owner_reads_it(tmp_path):
    keys = data_keys(tmp_path)
    key_of(keys, "customer-number-4711")
    path = tmp_path / "data" / "keys.db"
    assert b"4711" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ApplianceError) as caught:
        keys.get([keys.id_of("subject", "x")])
    assert code_of(caught) == "APL-TRUST-004"


def test_keys_wrapped_by_another_store_do_not_open(tmp_path):
    key_of(data_keys(tmp_path), "c-1")
    (tmp_path / "keys" / f"{NAME}.pem").unlink()
    with pytest.raises(ApplianceError) as caught:
        key_of(data_keys(tmp_path), "c-1")
    assert code_of(caught) == "APL-TRUST-037"


def test_a_damaged_file_is_named(tmp_path):
    key_of(data_keys(tmp_path), "c-1")
    (tmp_path / "data" / "keys.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ApplianceError) as caught:
        key_of(data_keys(tmp_path), "c-1")
    assert code_of(caught) == "APL-TRUST-037"
    assert caught.value.where == str(tmp_path / "data" / "keys.db")


def test_many_subjects_at_once(tmp_path):
    keys = data_keys(tmp_path)
    ids = [keys.id_of("subject", str(number)) for number in range(12_000)]
    assert len({each.seal(b"", b"") for each in keys.ensure(ids).values()}) == 12_000
