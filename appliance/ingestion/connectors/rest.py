"""The connector `rest`: pulls pages from where it stands, also after a kill. It changes nothing at the source."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.base.errors import ApplianceError
from appliance.ingestion.connectors import codes
from appliance.ingestion.connectors.declaration import Rest
from appliance.ingestion.connectors.http import PageClient
from appliance.ingestion.connectors.pages import position_of, read_page, request_of
from appliance.ingestion.connectors.source import Fetched
from appliance.secrets.secret import Secret


class RestSource:
    """See `source.Connector`; one `fetch` is one page."""

    def __init__(self, rest: Rest, site_folder: Path, secret: Secret | None = None) -> None:
        """`secret` is that of `rest.secret`; it is read for each session."""
        self._rest = rest
        self._site_folder = site_folder
        self._secret = secret
        self._client: PageClient | None = None
        self._seen: set[int | str | None] = set()

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        with PageClient(self._rest, self._site_folder, self._secret) as self._client:
            self._seen = set()
            yield

    def fetch(self, cursor: Any, *, wait_s: float) -> Fetched:
        assert self._client is not None, "fetch is called within a session"
        position = position_of(cursor)
        url, query = request_of(self._rest, position)
        answer = self._client.get(url, query)
        try:
            page = read_page(answer.body, answer.link, self._rest, position)
        except ApplianceError as error:
            raise ApplianceError(error.code, error.message, where=self._rest.url) from error
        if not page.last:
            self._seen.add(position.at)
            if page.next.at in self._seen:  # else a circle of links would fill the disk
                raise ApplianceError(
                    codes.SOURCE_CHANGED, "the next page is one that was read in this run", where=self._rest.url
                )
        return Fetched(rows=page.rows, cursor=page.next.cursor(), exhausted=page.last)

    def delivered(self) -> None:
        pass
