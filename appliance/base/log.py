"""JSON logs with trace ids.

One line per record: ``time level logger message trace_id`` and the record's extra fields. The trace id of the work
at hand travels in a context variable and follows into every line, batch, audit record and prediction.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime as dt
import json
import logging
import re
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

_TRACE_FORM = re.compile(r"[0-9a-f]{32}")
_trace_id: contextvars.ContextVar[str] = contextvars.ContextVar("trace_id", default="")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def new_trace_id() -> str:
    """32 hex digits, the trace-id of W3C Trace Context."""
    return secrets.token_hex(16)


def is_trace_id(text: str) -> bool:
    return _TRACE_FORM.fullmatch(text) is not None and text != "0" * 32


def current_trace_id() -> str:
    """The trace id of the work at hand; empty outside any."""
    return _trace_id.get()


@contextlib.contextmanager
def tracing(trace_id: str | None = None) -> Iterator[str]:
    """Give the block a trace id: the one passed, else the current one, else a new one."""
    value = trace_id or _trace_id.get() or new_trace_id()
    token = _trace_id.set(value)
    try:
        yield value
    finally:
        _trace_id.reset(token)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "trace_id": _trace_id.get(),
        }
        line.update({key: value for key, value in vars(record).items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(*, path: Path | None, level: str = "INFO") -> None:
    """Send our logs to `path` (appended), or to stderr when it is None. Called once, by a program."""
    handler: logging.Handler
    if path is None:
        handler = logging.StreamHandler(sys.stderr)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger("appliance")
    for old in root.handlers:
        old.close()
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
