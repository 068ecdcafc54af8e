"""Mosquitto: MQTT 3.1.1 and 5 by TLS, with user and password, messages kept on disk."""

from __future__ import annotations

import getpass
import ssl
import time

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from appliance.base import process
from appliance.deploy.servers.https import PATIENCE_S, NotReadyError
from appliance.deploy.servers.place import HOST, Place, Program

NAME = "mosquitto"
USER = "appliance"


def configuration(place: Place) -> str:
    home = place.folder / NAME
    return f"""\
listener {place.port(NAME)} {HOST}
cafile {place.authority}
certfile {place.certificate(NAME)}
keyfile {place.key(NAME)}
tls_version tlsv1.2
allow_anonymous false
password_file {home}/passwords
persistence true
persistence_location {home}/data/
log_dest stderr
log_timestamp_format %Y-%m-%dT%H:%M:%S
user {getpass.getuser()}
"""


def check(place: Place) -> None:
    pass


def prepare(place: Place) -> None:
    home = place.home(NAME)
    (home / "data").mkdir(exist_ok=True, mode=0o700)
    place.write(NAME, "mosquitto.conf", configuration(place))
    # In clear first, then hashed in place: a command line is everybody's to read.
    draft = place.write(NAME, "passwords.draft", f"{USER}:{place.secret(NAME)}\n")
    process.run(["mosquitto_passwd", "-U", draft], timeout_s=30.0)
    draft.rename(home / "passwords")


def program(place: Place) -> Program:
    return Program(command=(str(place.built(NAME)), "-c", str(place.folder / NAME / "mosquitto.conf")))


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """A connection by TLS with user and password is accepted."""
    reason = refusal(place, USER, place.secret(NAME))
    if reason:
        raise NotReadyError(f"refused the connection: {reason}")


def refusal(place: Place, user: str, password: str) -> str:
    """Log in and leave; gives why the broker refuses, "" where it does not.

    Raises:
        NotReadyError: nobody answered, or nobody whom the site trusts.
    """
    answers: list[ReasonCode] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="appliance-check", reconnect_on_failure=False)
    client.connect_timeout = PATIENCE_S
    client.tls_set_context(ssl.create_default_context(cafile=str(place.authority)))
    client.username_pw_set(user, password)
    client.on_connect = lambda _client, _data, _flags, reason, _properties: answers.append(reason)
    until = time.monotonic() + PATIENCE_S
    try:
        client.connect(HOST, place.port(NAME))
        while not answers and time.monotonic() < until:
            if client.loop(0.1) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
    except OSError as error:
        raise NotReadyError(f"{place.address(NAME)}: {error}") from error
    finally:
        client.disconnect()
    if not answers:
        raise NotReadyError(f"{place.address(NAME)}: no answer to the login")
    return str(answers[0]) if answers[0].is_failure else ""


def settle(place: Place) -> None:
    pass
