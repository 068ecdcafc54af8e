"""One page over HTTP: hosts, TLS, limits and retries. What the answer means is `pages`' business.

Rules
1. Only the scheme, host and port of the declared address are asked. A redirect within them is followed, `MAX_REDIRECTS`
   times; one that leaves them is refused, and nothing is sent there.
2. The secret goes into one header. Addresses in errors are without their parameters, which may hold cursors.
3. A connection that fails, 429 and 5xx are tried again, after a random pause whose bound doubles; a source that says
   `Retry-After` is obeyed up to the declared pause. All else fails at once: trying again would not help.
4. A body is read up to the declared size and no further; an answer that is longer in time than the limit ends.
5. Proxies and certificates of the process environment are not used.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx
import tenacity

from appliance.base.duration import parse_duration
from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors import codes, tls
from appliance.ingestion.connectors.declaration import Rest
from appliance.secrets.secret import Secret

MAX_REDIRECTS = 3
_FIRST_PAUSE_S = 0.5
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CREDENTIALS = frozenset({401, 403, 407})


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A body of status 200, and the next page's address, as it stands in the header ``Link``, if it does."""

    body: bytes
    link: str | None


class _TryAgain(Exception):  # noqa: N818 - carries the error that is raised when attempts are used up
    def __init__(self, error: ApplianceError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.after_s = after_s


class PageClient:
    """Asks one source for pages. A context: leaving it closes the connections."""

    def __init__(self, rest: Rest, site_folder: Path, secret: Secret | None) -> None:
        """`secret` is that of `rest.secret`. Raises ApplianceError APL-CONN-006, APL-SECRETS-002 to 009."""
        self._rest = rest
        self._origin = _origin(rest.url)
        self._longest_pause_s = parse_duration(rest.longest_pause).total_seconds()
        self._timeout_s = parse_duration(rest.timeout).total_seconds()
        headers = {"Accept": "application/json", "User-Agent": "appliance-connector"}
        if rest.secret is not None:
            assert secret is not None, "whoever declares one gives it"
            headers[rest.secret.header] = rest.secret.prefix + secret.read(code=codes.SECRET_UNUSABLE)
        self._client = httpx.Client(
            headers=headers,
            timeout=self._timeout_s,
            verify=tls.context(site_folder / rest.ca_file if rest.ca_file else None),
            follow_redirects=False,
            trust_env=False,
        )

    def __enter__(self) -> PageClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def get(self, url: str, query: dict[str, str]) -> Answer:
        """The page at `url`.

        Raises:
            ApplianceError: APL-CONN-007 to 013, each naming cause and address.
        """
        backoff = tenacity.wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=self._longest_pause_s)

        def pause(state: tenacity.RetryCallState) -> float:
            failed = state.outcome.exception() if state.outcome is not None else None
            asked = failed.after_s if isinstance(failed, _TryAgain) else None
            return backoff(state) if asked is None else asked

        attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_TryAgain),
            stop=tenacity.stop_after_attempt(self._rest.attempts),
            wait=pause,
            reraise=True,
        )
        try:
            return attempts(self._once, url, query)
        except _TryAgain as failed:
            raise failed.error from failed

    def _once(self, url: str, query: dict[str, str]) -> Answer:
        try:
            request = self._client.build_request("GET", url, params=query or None)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ApplianceError(codes.ELSEWHERE, f"the next link is no address: {error}") from error
        for _ in range(MAX_REDIRECTS + 1):
            self._must_be_declared(request.url)
            where = str(request.url.copy_with(query=None, fragment=None))
            try:
                response = self._client.send(request, stream=True)
                try:
                    following = response.next_request
                    if following is None:
                        return self._answer(response, where)
                finally:
                    response.close()
            except httpx.HTTPError as error:
                raise _of_transport(error, where, self._timeout_s) from error
            request = following
        raise ApplianceError(codes.SOURCE_FAILED, f"more than {MAX_REDIRECTS} redirects", where=where)

    def _must_be_declared(self, url: httpx.URL) -> None:
        found = _origin(str(url))
        if found != self._origin:
            raise ApplianceError(codes.ELSEWHERE, f"expected {_shown(self._origin)}, it points to {_shown(found)}")

    def _answer(self, response: httpx.Response, where: str) -> Answer:
        status = response.status_code
        if status == 200:
            link = response.links.get("next", {}).get("url")
            return Answer(body=self._body(response, where), link=link)
        if status in _CREDENTIALS:
            raise ApplianceError(codes.CREDENTIALS_REFUSED, f"status {status}", where=where)
        code = codes.THROTTLED if status == 429 else codes.SOURCE_FAILED
        error = ApplianceError(code, f"status {status} {response.reason_phrase}".rstrip(), where=where)
        if status not in _TRY_AGAIN:
            raise error
        after_s = retry_after(response.headers.get("retry-after", ""), time.time())
        if after_s is not None and after_s > self._longest_pause_s:
            raise ApplianceError(
                codes.THROTTLED,
                f"status {status}: come back in {after_s:.0f} s, we wait at most {self._longest_pause_s:.0f} s",
                where=where,
            )
        raise _TryAgain(error, after_s)

    def _body(self, response: httpx.Response, where: str) -> bytes:
        began = time.monotonic()
        body = bytearray()
        for chunk in response.iter_bytes():  # as they come: with a size, httpx waits until it is full
            body += chunk
            if len(body) > self._rest.max_page_bytes:
                raise ApplianceError(
                    codes.PAGE_INVALID, f"it has more than {self._rest.max_page_bytes} bytes", where=where
                )
            if time.monotonic() - began > self._timeout_s:  # httpx limits the wait for each part, not for all
                raise _TryAgain(
                    ApplianceError(codes.UNREACHABLE, f"not complete within {self._timeout_s:.0f} s", where=where)
                )
        return bytes(body)


def retry_after(value: str, now: float) -> float | None:
    """Seconds to wait by the header ``Retry-After`` (RFC 9110 section 10.2.3), a number or a date; None: not given.

    Args:
        now: seconds since 1970.
    """
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return max(0.0, at.timestamp() - now)


def _of_transport(error: httpx.HTTPError, where: str, timeout_s: float) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ApplianceError(codes.NOT_TRUSTED, cause.verify_message, where=where)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.DecodingError):
        return ApplianceError(codes.PAGE_INVALID, f"its content encoding is damaged: {error}", where=where)
    reason = f"no answer within {timeout_s:.0f} s" if isinstance(error, httpx.TimeoutException) else str(error)
    return _TryAgain(ApplianceError(codes.UNREACHABLE, reason or type(error).__name__, where=where))


def _origin(url: str) -> tuple[str, str, int]:
    split = urlsplit(url)
    return split.scheme, split.hostname or "", split.port or {"https": 443, "http": 80}.get(split.scheme, 0)


def _shown(origin: tuple[str, str, int]) -> str:
    return f"{origin[0]}://{origin[1]}:{origin[2]}"
