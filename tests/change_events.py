"""Records of changes as Debezium writes them, made to order. The form is that of records of a real connector, which
``tests/integration/changes`` reads."""

import json

ID = {"type": "int32", "optional": False, "field": "id"}
NAME = {"type": "string", "optional": True, "field": "name"}
FIELDS = (ID, NAME)
MICROSECOND = 1_790_000_000_000_000


def event(operation, before=None, after=None, *, fields=FIELDS, key=("id",), lsn=100, transaction=7, ts_us=MICROSECOND):
    """Key and value of a record; `before` and `after` are rows as JSON has them."""
    row = {"type": "struct", "fields": list(fields), "optional": True, "name": "x.Value"}
    schema = {
        "type": "struct",
        "fields": [
            {**row, "field": "before"},
            {**row, "field": "after"},
            {"type": "struct", "fields": [], "field": "source"},
            {"type": "string", "field": "op"},
        ],
        "name": "x.Envelope",
    }
    source = {"lsn": lsn, "txId": transaction, "ts_us": ts_us}
    payload = {"before": before, "after": after, "source": source, "op": operation}
    value = json.dumps({"schema": schema, "payload": payload}).encode()
    if operation == "t":
        return None, value
    given = after if after is not None else before
    keyed = {
        "schema": {"type": "struct", "fields": [each for each in fields if each["field"] in key]},
        "payload": {name: given[name] for name in key},
    }
    return json.dumps(keyed).encode(), value
