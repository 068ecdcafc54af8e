"""A mapping and files with a planted card number and a planted name."""

CARD, OTHER_CARD, NAME = "4539578763621486", "6011000990139424", "Magdalena Wrzesniewska"
MAPPING = """
table = "silver.customers"
format = "FORMAT"
subject = "customer_id"

[time]
column = "t"

[[column]]
from = "id"
name = "customer_id"
type = "string"

[[column]]
from = "name"
name = "name"
type = "string"
sensitive = "pii.name"

[[column]]
from = "card"
name = "card"
type = "long"
sensitive = "pii.card"
join = true

[[column]]
from = "load"
name = "load"
type = "double"
max = 1000.0
"""
UNDECLARED = (
    MAPPING.replace('subject = "customer_id"\n', "")
    .replace('sensitive = "pii.name"\n', "")
    .replace('sensitive = "pii.card"\njoin = true\n', "")
)
DECLARED_NONE = UNDECLARED.replace(
    'type = "long"\n', 'type = "long"\nsensitive = "none"\nreason = "test numbers of the card scheme"\n'
).replace('name = "name"\ntype = "string"\n', 'name = "name"\ntype = "string"\nsensitive = "none"\nreason = "actors"\n')
ROWS = [
    ("c-1", NAME, CARD, "5"),
    ("c-2", "Tobias Okonkwo", OTHER_CARD, "6"),
    ("c-1", NAME, CARD, "7"),
    ("c-3", "Ingrid Halvorsen", "5425233430109903", "5000"),
]


def csv(rows=ROWS, extra=""):
    lines = [f"2026-01-{(number - 1) % 28 + 1:02d},{','.join(row)}" for number, row in enumerate(rows, start=1)]
    return ("t,id,name,card,load\n" + "\n".join(lines) + "\n" + extra).encode()


def jsonl(rows=ROWS):
    return "".join(
        f'{{"t":"2026-01-{(number - 1) % 28 + 1:02d}","id":"{id}","name":"{name}","card":{card},"load":{load}}}\n'
        for number, (id, name, card, load) in enumerate(rows, start=1)
    ).encode()
