"""The search for planted texts finds each form that it looks for: without that its silence says nothing."""

import base64
import gzip
import io
import zlib

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.unit.ingestion.sensitive.customers import CARD, NAME
from tests.unit.ingestion.sensitive.scan import leaks


def parquet(text):
    file = io.BytesIO()
    pq.write_table(pa.table({"a": [f"x{text}x"]}), file, compression="zstd", use_dictionary=False)
    return file.getvalue()


def avro(text):
    file = io.BytesIO()
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}]}
    fastavro.writer(file, schema, [{"a": text}], codec="deflate")
    return file.getvalue()


FORMS = {
    "UTF-8": lambda text: f"before {text} after".encode(),
    "UTF-16 little": lambda text: text.encode("utf-16-le"),
    "UTF-16 big": lambda text: text.encode("utf-16-be"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    **{f"base64 after {n}": lambda text, n=n: base64.b64encode(b"z" * n + text.encode() + b"end") for n in range(7)},
    "gzip": lambda text: gzip.compress(text.encode()),
    "zlib": lambda text: zlib.compress(text.encode()),
    "zstd": lambda text: zstandard.ZstdCompressor().compress(text.encode()),
    "Parquet": parquet,
    "Avro": avro,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", [CARD, NAME])
def test_a_planted_text_is_found(tmp_path, form, text):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(FORMS[form](text))
    (tmp_path / "other").write_bytes(FORMS[form]("9" * 16))
    assert leaks(tmp_path, text) == ["deep/file"]


def test_a_planted_text_in_a_name_is_found(tmp_path):
    (tmp_path / f"of {NAME}.csv").touch()
    assert leaks(tmp_path, NAME) != []
