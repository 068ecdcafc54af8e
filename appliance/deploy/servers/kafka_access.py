"""Who may do what in Kafka: a user for each role, its topics and its rules.

A role has one job: the collector brings readings and serving its predictions, and neither reads anything back;
ingestion reads both and writes dead letters alone, which a steward reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import kafka
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

READINGS = "readings"
DEAD_LETTERS = "readings.dead"
PREDICTIONS = "predictions"
CHANGES = "changes."  # what the topics of captured tables begin with; Connect makes them
MECHANISM = "SCRAM-SHA-512"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A topic that the product needs, with its settings."""

    name: str
    partitions: int
    configs: Mapping[str, str]


# The broker's time is the time of arrival: a time that the producer chose would be none.
_CONFIGS = {"message.timestamp.type": "LogAppendTime", "retention.ms": "604800000"}
TOPICS = (
    Topic(name=READINGS, partitions=3, configs=_CONFIGS),
    # A letter that is sent again has the key of the first, and one is left. A month is time to look. What was purged is
    # taken away when the next letter comes a day later, or with the month.
    Topic(
        name=DEAD_LETTERS,
        partitions=1,
        configs={
            "cleanup.policy": "compact,delete",
            "max.compaction.lag.ms": "86400000",
            "retention.ms": "2592000000",
            "max.message.bytes": "2097152",
        },
    ),
    Topic(name=PREDICTIONS, partitions=1, configs=_CONFIGS),  # one: segments of the prediction log are in order
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a user may do with one resource, or with all whose names begin so."""

    user: str
    resource: ResourceType
    name: str
    operations: tuple[ACLOperation, ...]
    prefixed: bool = False


RULES = (
    Rule(
        user="ingest",
        resource=ResourceType.TOPIC,
        name=READINGS,
        operations=(ACLOperation.READ, ACLOperation.DESCRIBE),
    ),
    Rule(
        user="ingest",
        resource=ResourceType.TOPIC,
        name=CHANGES,
        operations=(ACLOperation.READ, ACLOperation.DESCRIBE),
        prefixed=True,
    ),
    Rule(user="ingest", resource=ResourceType.GROUP, name="sink", operations=(ACLOperation.READ,)),
    Rule(
        user="collector",
        resource=ResourceType.TOPIC,
        name=READINGS,
        operations=(ACLOperation.WRITE, ACLOperation.DESCRIBE),
    ),
    Rule(
        user="collector",
        resource=ResourceType.TRANSACTIONAL_ID,
        name="collector",
        operations=(ACLOperation.WRITE, ACLOperation.DESCRIBE),
        prefixed=True,
    ),
    Rule(
        user="ingest",
        resource=ResourceType.TOPIC,
        name=DEAD_LETTERS,
        operations=(ACLOperation.WRITE, ACLOperation.DESCRIBE),
    ),
    Rule(
        user="steward",
        resource=ResourceType.TOPIC,
        name=DEAD_LETTERS,
        operations=(ACLOperation.READ, ACLOperation.DESCRIBE),
    ),
    Rule(user="steward", resource=ResourceType.GROUP, name="steward", operations=(ACLOperation.READ,), prefixed=True),
    Rule(
        user="ingest",
        resource=ResourceType.TOPIC,
        name=PREDICTIONS,
        operations=(ACLOperation.READ, ACLOperation.DESCRIBE),
    ),
    Rule(
        user="serving",
        resource=ResourceType.TOPIC,
        name=PREDICTIONS,
        operations=(ACLOperation.WRITE, ACLOperation.DESCRIBE),
    ),
    Rule(
        user="serving",
        resource=ResourceType.TRANSACTIONAL_ID,
        name="serving",
        operations=(ACLOperation.WRITE, ACLOperation.DESCRIBE),
        prefixed=True,
    ),
)
USERS = tuple(dict.fromkeys(rule.user for rule in RULES))


def settle(client: KafkaAdminClient, passwords: Mapping[str, str]) -> None:
    """Make the users, topics and rules; what is there already stays as it is, but passwords are those given.

    Raises:
        kafka.errors.KafkaError: the broker refused one of them.
    """
    known = client.describe_user_scram_credentials()
    missing = [user for user in passwords if user not in known]  # those of a site that was made before the role
    if missing:
        answers = client.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, MECHANISM, passwords[user]) for user in missing]
        )
        if any(answers.values()):
            raise kafka.errors.KafkaError(f"users were not made: {answers}")
    there = set(client.list_topics())
    new = {
        topic.name: {"num_partitions": topic.partitions, "replication_factor": 1, "configs": dict(topic.configs)}
        for topic in TOPICS
        if topic.name not in there
    }
    if new:
        client.create_topics(new, wait_for_metadata=True)
    failed = client.create_acls([_acl(rule, operation) for rule in RULES for operation in rule.operations])["failed"]
    if failed:
        raise failed[0]("access rules were not made")


def _acl(rule: Rule, operation: ACLOperation) -> ACL:
    kind = ACLResourcePatternType.PREFIXED if rule.prefixed else ACLResourcePatternType.LITERAL
    return ACL(
        principal=f"User:{rule.user}",
        host="*",
        operation=operation,
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(rule.resource, rule.name, kind),
    )
