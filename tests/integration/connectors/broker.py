"""A mosquitto of a test's own on a free loopback port, that can be ended and started again, and a publisher.

mosquitto confirms a row and saves it a moment later: one that is killed in between has lost what it confirmed last,
however often it saves. `Publisher.last_confirmed` names those rows; only they may be missing after a kill.
"""

import getpass
import json
import shutil
import signal
import socket
import subprocess
import time

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.ports import free_port

PROGRAM = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin")


class Broker:
    """Keeps its sessions on disk; `more` is added to its configuration."""

    def __init__(self, folder, more="allow_anonymous true\n"):
        self.folder = folder
        self.port = free_port()
        (folder / "data").mkdir(parents=True)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n{more}"
            f"persistence true\npersistence_location {folder}/data/\nautosave_on_changes true\nautosave_interval 1\n"
            f"max_queued_messages 0\nuser {getpass.getuser()}\nlog_dest stderr\n"
        )
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [PROGRAM, "-c", self.folder / "mosquitto.conf"], stderr=(self.folder / "log").open("ab")
        )
        until = time.monotonic() + 10
        while not self.listens():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, "mosquitto does not listen"
            time.sleep(0.05)

    def listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=10)
            self.process = None


WINDOW = 20  # rows under way to the broker at a time


class Publisher:
    """Publishes rows of QoS 1 by number; sends again what the broker has not confirmed."""

    def __init__(self, broker):
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="publisher", protocol=paho.MQTTv311, clean_session=False
        )
        self.client.max_inflight_messages_set(WINDOW)
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        self.client.connect("127.0.0.1", broker.port)
        self.sent, self.confirmed = [], []
        self.client.on_publish = lambda client, data, mid, reason, properties: self.confirmed.append(mid)
        self.client.loop_start()

    def publish(self, numbers, topic="site/a/readings", pause_s=0.0):
        for number in numbers:
            row = {"t": "2026-01-01T00:00:00Z", "device": "tx-1", "sequence": number}
            self.sent.append(self.client.publish(topic, json.dumps(row), qos=1))
            time.sleep(pause_s)

    def last_confirmed(self):
        """The numbers of the rows, counted from 0 as published, that the broker confirmed last: one window of them."""
        last = set(self.confirmed[-WINDOW:])
        return {number for number, sent in enumerate(self.sent) if sent.mid in last}

    def close(self):
        """Waits until all are confirmed."""
        until = time.monotonic() + 30
        while len(self.confirmed) < len(self.sent):
            assert time.monotonic() < until, f"{len(self.confirmed)} of {len(self.sent)} are confirmed"
            time.sleep(0.05)
        self.client.disconnect()
        self.client.loop_stop()
