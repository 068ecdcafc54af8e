"""Which witnesses count and how many are needed: C2SP tlog-policy files.

Rules
1. The file is read as the specification says: one item a line, groups name only what stands above them, each name is a
   member of at most one group, exactly one quorum. At most `MAX_ITEMS` logs, witnesses and groups.
2. For a site exactly one log line is wanted: a policy that accepts two logs could hide a fork in the second.
3. The newest witnessed time is the greatest t at which the witnesses with times >= t meet the quorum alone. A single
   early or late clock among the witnesses therefore does not set it, unless the quorum needs that witness.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from appliance.base.errors import ApplianceError
from appliance.trust import codes, cosignatures, notes
from appliance.trust.cosignatures import WitnessKey

FILE_NAME = "tlog-policy"
MAX_BYTES = 65_536
MAX_ITEMS = 128
NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Group:
    """Met when `needed` of its members are."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WitnessPolicy:
    """A parsed policy: `witnesses` and `groups` by the names that they have in the file."""

    log: notes.LogKey
    witnesses: Mapping[str, WitnessKey]
    groups: Mapping[str, Group]
    quorum: str

    def is_met(self, key_names: Iterable[str]) -> bool:
        """Whether the witnesses with these key names meet the quorum."""
        present = set(key_names)
        met = {name for name, witness in self.witnesses.items() if witness.name in present}
        for name, group in self.groups.items():  # in the order of the file: members come before
            if len(met.intersection(group.members)) >= group.needed:
                met.add(name)
        return self.quorum == NONE or self.quorum in met

    def witnessed_at(self, note: bytes) -> int | None:
        """Rule 3 for a checkpoint, in POSIX seconds; None where no witness is needed and none cosigned.

        Raises:
            ApplianceError: APL-TRUST-017, the quorum is not met or a known witness's line does not verify.
        """
        times = cosignatures.cosigned(note, self.witnesses.values())
        if not self.is_met(times):
            listed = ", ".join(sorted(times)) or "nobody"
            raise ApplianceError(codes.WITNESS_MISSING, f"expected the quorum {self.quorum}, cosigned by {listed}")
        for seconds in sorted(set(times.values()), reverse=True):
            if self.is_met(name for name, time in times.items() if time >= seconds):
                return seconds
        return None


def make_policy(log: notes.LogKey, witnesses: Mapping[str, WitnessKey], needed: int) -> bytes:
    """A policy of one log and `needed` of the witnesses; none when there are no witnesses."""
    lines = [f"log {log.text()}"]
    lines += [f"witness {name} {key.text()}" for name, key in sorted(witnesses.items())]
    if witnesses:
        lines += [f"group quorum-of-witnesses {needed} {' '.join(sorted(witnesses))}", "quorum quorum-of-witnesses"]
    else:
        lines += [f"quorum {NONE}"]
    data = ("\n".join(lines) + "\n").encode()
    parse_witness_policy(data)
    return data


def parse_witness_policy(data: bytes) -> WitnessPolicy:
    """Raises:
    ApplianceError: APL-TRUST-016, or -005 for a key in it.
    """
    if len(data) > MAX_BYTES:
        raise _invalid(f"{len(data)} bytes, at most {MAX_BYTES} are allowed")
    if data and not data.endswith(b"\n"):
        raise _invalid("the last line has no newline")
    if any((byte < 0x20 and byte not in (0x09, 0x0A)) or byte == 0x7F for byte in data):
        raise _invalid("a control character")
    reader = _Reader()
    # Octets are opaque: Latin-1 keeps each as one character and needs no Unicode rules.
    for number, line in enumerate(data.decode("latin-1").split("\n"), start=1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if words and not words[0].startswith("#"):
            reader.take(number, words)
    return reader.policy()


class _Reader:
    def __init__(self) -> None:
        self._logs: list[notes.LogKey] = []
        self._witnesses: dict[str, WitnessKey] = {}
        self._groups: dict[str, Group] = {}
        self._members: set[str] = set()
        self._quorum: str | None = None

    def take(self, number: int, words: list[str]) -> None:
        match words:
            case ["log", key] | ["log", key, _]:
                self._logs.append(notes.parse_log_key(_utf8(key)))
            case ["witness", name, key] | ["witness", name, key, _]:
                self._name(number, name)
                self._witnesses[name] = cosignatures.parse_witness_key(_utf8(key))
            case ["group", name, needed, *members] if members:
                self._group(number, name, needed, members)
            case ["quorum", name]:
                if self._quorum is not None:
                    raise _invalid(f"line {number}: a second quorum")
                if name != NONE and name not in self._known:
                    raise _invalid(f"line {number}: {name} is not defined above")
                self._quorum = name
            case _:
                raise _invalid(f"line {number}: not a line of a policy")

    def policy(self) -> WitnessPolicy:
        if self._quorum is None:
            raise _invalid("no quorum")
        if len(self._logs) != 1:
            raise _invalid(f"expected one log, got {len(self._logs)}")
        publics = [key.text().rpartition("+")[2] for key in self._witnesses.values()]
        if len(set(publics)) != len(publics):
            raise _invalid("two witnesses have the same key")
        if len(self._witnesses) > MAX_ITEMS or len(self._groups) > MAX_ITEMS:
            raise _invalid(f"more than {MAX_ITEMS} witnesses or groups")
        return WitnessPolicy(log=self._logs[0], witnesses=self._witnesses, groups=self._groups, quorum=self._quorum)

    @property
    def _known(self) -> set[str]:
        return self._witnesses.keys() | self._groups.keys()

    def _name(self, number: int, name: str) -> None:
        if name == NONE or name in self._known:
            raise _invalid(f"line {number}: the name {name} is taken")

    def _group(self, number: int, name: str, needed: str, members: list[str]) -> None:
        self._name(number, name)
        for member in members:
            if member not in self._known:
                raise _invalid(f"line {number}: {member} is not defined above")
            if member in self._members:
                raise _invalid(f"line {number}: {member} is a member twice")
            self._members.add(member)
        counts = {str(count): count for count in range(1, len(members) + 1)} | {"any": 1, "all": len(members)}
        if needed not in counts:
            raise _invalid(f"line {number}: {needed[:32]} of {len(members)} members")
        self._groups[name] = Group(needed=counts[needed], members=tuple(members))


def _utf8(key: str) -> str:
    # Key names are compared with those of signature lines, which are UTF-8.
    try:
        return key.encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise _invalid(f"a key name is not UTF-8: {error}") from error


def _invalid(what: str) -> ApplianceError:
    return ApplianceError(codes.POLICY_INVALID, what, where=FILE_NAME)
