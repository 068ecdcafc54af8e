"""What a client sends and gets: strict request, complete answer.

A request names an entity and optionally the instant to predict for. The answer carries the model version, ids, and
every feature value with its age and state, so that it can be questioned later.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec

from appliance.base.errors import ApplianceError
from appliance.serving import codes

MAX_REQUEST_BYTES = 16 * 1024


class PredictRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One question.

    Attributes:
        entity: for example a device id.
        at: instant to predict for, RFC 3339 with zone; None is now.
        request_id: the client's own id, echoed; None makes one.
    """

    entity: Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+\Z")]
    at: Annotated[dt.datetime, msgspec.Meta(tz=True)] | None = None
    request_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._:-]+\Z")] | None = None


class FeatureValue(msgspec.Struct, frozen=True, kw_only=True):
    """One input as the model saw it.

    Attributes:
        value: None when the contract gave no value (abstain).
        age_s: seconds between the newest reading behind the value and the instant asked for; None when there is none.
        state: ok, default, abstain or reject.
    """

    name: str
    value: float | None
    age_s: float | None
    state: str


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What one model service answers to the gateway.

    Attributes:
        score: probability or value; None when it abstained.
        outcome: positive, negative, value or abstain.
        reason: why it abstained, else empty.
        data: lineage id of the newest readings commit that the online features hold; empty when there was none.
    """

    artifact_id: str
    score: float | None
    outcome: str
    reason: str = ""
    data: str = ""
    features: tuple[FeatureValue, ...] = ()


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to the client, and the record of it.

    Attributes:
        arm: live, canary, shadow or fallback.
        version: registry version, 0 for the fallback.
    """

    prediction_id: str
    request_id: str
    trace_id: str
    entity: str
    at: dt.datetime
    served_at: dt.datetime
    model: str
    version: int
    artifact_id: str
    arm: str
    score: float | None
    outcome: str
    reason: str
    data: str
    features: tuple[FeatureValue, ...]
    latency_ms: float


_request_decoder = msgspec.json.Decoder(PredictRequest)


def parse_request(body: bytes) -> PredictRequest:
    """Decode and check a request.

    Raises:
        ApplianceError: APL-SERVE-001, `where` names the field as a JSON path.
    """
    try:
        return _request_decoder.decode(body)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        where = path.rstrip("`") if path else "$"
        if not path and " field `" in message:  # a missing or unknown field is named in the message, not as a path
            where = "$." + message.split("`")[1]
        raise ApplianceError(codes.REQUEST_INVALID, message, where=where) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApplianceError(codes.REQUEST_INVALID, f"the body is not JSON: {error}", where="$") from error
