"""Names of the lake's tables. Their schemas stand with the modules that write them."""

READINGS = "silver.readings"
QUARANTINE = "quarantine.readings"
RAW = "raw.records"
DROPS_QUARANTINE = "quarantine.drops"
DROPS_RAW = "raw.drops"
PREDICTIONS = "predictions.served"
INCIDENTS = "labels.incidents"
GATES = "ledger.gates"
LETTERS = "ledger.letters"

OWN = frozenset({READINGS, QUARANTINE, RAW, DROPS_QUARANTINE, DROPS_RAW, PREDICTIONS, INCIDENTS, GATES, LETTERS})
"""Tables whose columns are those that the product's code names."""
