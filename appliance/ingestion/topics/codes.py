"""Error codes of `appliance.ingestion.topics`."""

from appliance.base.errors import declare

NOT_CONFIGURED = declare(
    "APL-TOPIC-001",
    "No Kafka is configured",
    meaning="The site has no brokers in kafka.servers, so there is no topic to read.",
    action="Name the brokers, user, password file and authority: appliance site show kafka lists the settings.",
    exit_code=2,
)
UNREACHABLE = declare(
    "APL-TOPIC-002",
    "No broker answers",
    meaning="None of kafka.servers accepted a connection in time. Nothing was read, and nothing is lost: the topic "
    "keeps the records.",
    action="Start the broker (appliance site status), or correct kafka.servers.",
)
UNTRUSTED = declare(
    "APL-TOPIC-003",
    "The broker's certificate is not trusted",
    meaning="The certificate has ended, names another host, or is of another authority than kafka.ca_file.",
    action="Renew the certificate, or put the authority that issued it into kafka.ca_file.",
)
LOGIN_REFUSED = declare(
    "APL-TOPIC-004",
    "The broker refused the login",
    meaning="User and password of kafka.user and kafka.password_file are not those that the broker knows "
    "(SCRAM-SHA-512).",
    action="Put the right password into the file (mode 600), or have the user made anew.",
)
FORBIDDEN = declare(
    "APL-TOPIC-005",
    "The user may not do that",
    meaning="The broker's access rules do not allow this user the topic or the consumer group.",
    action="Use the role's own user, or have the rule added.",
)
TOPIC_UNFIT = declare(
    "APL-TOPIC-006",
    "The topic is missing or is not as it must be",
    meaning="Records need the time at which the broker took them: message.timestamp.type=LogAppendTime. A time that "
    "the producer chose is no time of arrival. A topic of predictions has one partition, so that all are in order.",
    action="Create the topic, or set message.timestamp.type=LogAppendTime for it. Another number of partitions needs "
    "another topic.",
)
RECORDS_GONE = declare(
    "APL-TOPIC-007",
    "Records are gone that no table has taken",
    meaning="The broker has deleted records (retention) that lie between where the tables stand and where its log "
    "begins.",
    action="Restore them if you can. Else go on with appliance ingest topic --accept-gap, which raises an alert that "
    "names the gap.",
)
TOPIC_ANEW = declare(
    "APL-TOPIC-008",
    "The topic is shorter than what was taken from it",
    meaning="The tables stand behind the end of the topic: it was deleted and made again, or the broker was restored "
    "from an older copy. Its offsets no longer name the same records.",
    action="Read the new topic under another name, or restore the broker's log.",
    exit_code=3,
)
SCHEMA_MISSING = declare(
    "APL-TOPIC-009",
    "The schema of reading batches is not registered",
    meaning="A producer needs the id of its schema before the first record.",
    action="Register it: appliance schema register.",
)
SEND_FAILED = declare(
    "APL-TOPIC-010",
    "The broker did not acknowledge records",
    meaning="Records were sent and not acknowledged by all replicas in time; some of them may have been taken.",
    action="Send them again: a reading that comes twice is recognised.",
)
BROKER_CLOCK = declare(
    "APL-TOPIC-011",
    "The broker's clock is wrong",
    meaning="A record has a time of arrival before 2024. Rows would get a false arrival time, and with it poison every "
    "later join.",
    action="Set the broker's clock. Records that it stamped wrongly must be sent again to a new topic.",
)
