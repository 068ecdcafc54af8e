"""Schemas that tests are about, short to write."""

import json

DRAFT = "http://json-schema.org/draft-07/schema#"  # the newest whose changes Apicurio 3.3.3 can judge


def record(*fields, name="Reading", **more):
    return {"type": "record", "name": name, "fields": list(fields), **more}


def avro(schema):
    return json.dumps(schema)
