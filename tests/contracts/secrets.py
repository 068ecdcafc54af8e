"""What every place of a secret promises: the suite that runs over a file and over a real OpenBao.

Whoever runs it gives one fixture, `kept`: an object with the `secret`, `write(text)`, `remove()`, and the codes
`gone` and `invalid` that reading fails with.
"""

import traceback

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.secret_file import MAX_BYTES
from appliance.secrets.secret import from_text, to_text
from appliance.storage import codes

CODE = codes.SECRET_UNREADABLE
MARK = "MARK-of-a-secret"
SECRETS = {
    "a word": (MARK, MARK),
    "with the end of its line": (f"{MARK}\n", MARK),
    "with another end of line": (f"{MARK}\r\n", MARK),
    "with spaces within": (f"{MARK} and more", f"{MARK} and more"),
    "every printable sign": ("".join(map(chr, range(33, 127))), "".join(map(chr, range(33, 127)))),
    "the longest": ("x" * MAX_BYTES, "x" * MAX_BYTES),
}
NONE = {
    "nothing": "",
    "the end of a line": "\n",
    "white space before it": f" {MARK}",
    "white space behind it": f"{MARK} ",
    "two lines": f"{MARK}\n{MARK}",
    "two ends of a line": f"{MARK}\n\n",
    "a letter that is not ASCII": f"{MARK}é",
    "a control character": f"{MARK}\x00",
    "a tabulator": f"{MARK}\t{MARK}",
    "too much": "x" * (MAX_BYTES + 1),
}


def refused(call):
    """The error, in whose traceback and words the secret does not stand."""
    with pytest.raises(ApplianceError) as caught:
        call()
    assert caught.value.hint
    assert MARK not in "".join(traceback.format_exception(caught.value))
    return caught.value


class SecretContract:
    @pytest.mark.parametrize("case", SECRETS)
    def test_what_was_written_is_read(self, kept, case):
        written, read = SECRETS[case]
        kept.write(written)
        assert kept.secret.read(code=CODE) == read

    @pytest.mark.parametrize("case", NONE)
    def test_what_is_no_secret_is_refused(self, kept, case):
        kept.write(NONE[case])
        error = refused(lambda: kept.secret.read(code=CODE))
        assert (error.code.id, error.where) == (kept.invalid, str(kept.secret))

    def test_a_renewed_one_counts_at_the_next_reading(self, kept):
        for text in ("first", "second", "third"):
            kept.write(text)
            assert kept.secret.read(code=CODE) == text

    def test_one_that_is_gone_is_told_and_one_that_is_back_is_read(self, kept):
        kept.write(MARK)
        kept.secret.read(code=CODE)
        kept.remove()
        assert refused(lambda: kept.secret.read(code=CODE)).code.id == kept.gone
        kept.write(MARK)
        assert kept.secret.read(code=CODE) == MARK

    def test_its_place_travels_as_text_and_the_secret_does_not(self, kept, caplog):
        caplog.set_level("DEBUG")
        kept.write(MARK)
        again = from_text(to_text(kept.secret))
        assert again == kept.secret
        assert again.read(code=CODE) == MARK
        for text in (str(kept.secret), repr(kept.secret), to_text(kept.secret), caplog.text):
            assert MARK not in text
