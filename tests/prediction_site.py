"""A small site whose predictions are brought into the lake, from the gateway's files or through a topic in memory."""

import contextlib
from types import SimpleNamespace

from appliance.base.clock import to_us
from appliance.base.errors import ApplianceError
from appliance.ingestion.topics import codes
from appliance.ingestion.topics.buffer import LOG_APPEND_TIME
from appliance.serving import prediction_topic
from appliance.serving.prediction_log import PredictionWriter
from appliance.serving.prediction_table import PredictionTable
from appliance.serving.prediction_topic import PredictionTopic
from tests.portal_site import NOW, prediction
from tests.small_site import SmallSite


class Partition:
    """What a broker does with the partition of a topic, as far as its clients can tell: transactions are whole, and
    their ends have offsets too."""

    def __init__(self):
        self.records, self.begin, self.end = [], 0, 0

    def send(self, outgoing):
        for each in outgoing:
            self.put(each.key, each.value, each.headers)
        self.end += 1  # of the mark that ends the transaction

    def put(self, key, value, headers=()):
        self.records.append(
            SimpleNamespace(
                offset=self.end,
                timestamp=to_us(NOW) // 1000,
                timestamp_type=LOG_APPEND_TIME,
                key=key,
                value=value,
                headers=tuple(headers),
            )
        )
        self.end += 1

    def read(self, start):
        if self.end < start:
            raise ApplianceError(codes.TOPIC_ANEW, f"ends at {self.end}, taken up to {start}")
        found = [each for each in self.records if each.offset >= max(start, self.begin)]
        for first in range(0, len(found), 3):
            yield found[first : first + 3]

    def forget(self, offset):
        """Delete what lies before an offset, as retention does."""
        self.begin = max(self.begin, min(offset, self.end))


class PredictionSite(SmallSite):
    """Topics are in memory: `partitions` by name."""

    def __init__(self, folder, monkeypatch):
        super().__init__(folder)
        self.partitions = {}
        self.answered = 0
        self.log_folder = folder / "serving" / "predictions"
        self._writer = PredictionWriter(self.log_folder)
        monkeypatch.setattr(prediction_topic, "TransactionProducer", self._producer)
        monkeypatch.setattr(prediction_topic, "read_to_end", lambda _, topic, start: self.partition(topic).read(start))

    def partition(self, topic):
        return self.partitions.setdefault(topic, Partition())

    def answer(self, count, *, close=True):
        """Write down so many predictions, as the gateway does before it answers."""
        for number in range(self.answered, self.answered + count):
            self._writer.write(prediction(number, ""))
        self.answered += count
        if close:
            self._writer.rotate()

    def torn(self):
        """A segment of a gateway that was killed in its first line."""
        path = self.log_folder / "open" / "1-000001.jsonl"
        path.write_bytes(b'{"prediction_id": "pr-')
        self._writer = PredictionWriter(self.log_folder)

    def topic(self, name):
        return PredictionTopic(topic=name, writer=None, reader=None, folder=self.log_folder)

    def flush(self, topic=None, **changes):
        given = {
            "lake": self.lake,
            "objects": self.objects,
            "lineage": self.lineage,
            "folder": self.log_folder,
            "site_folder": self.folder,
            "model_lineage": lambda artifact_id: None,
            "rotate": lambda: None,
            "topic": self.topic(topic) if topic else None,
        }
        return PredictionTable(**{**given, **changes}).flush()

    def taken(self):
        return self.lake.scan("predictions.served", columns=("prediction_id",))["prediction_id"].to_pylist()

    def check_each_is_there_once(self):
        expected = [prediction(number, "").prediction_id for number in range(self.answered)]
        assert sorted(self.taken()) == expected

    @contextlib.contextmanager
    def _producer(self, _connection, topic, _id):
        yield self.partition(topic)
