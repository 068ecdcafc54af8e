"""The web application: routes, and how failures become pages.

Paths
    GET /                          Home
    GET /data                      tables, quarantine, ledger, alerts; ?table=NAME one table
    GET /models, /models/N/V       the registry
    GET /predictions, /predictions/ID
    GET /trust                     ?id=… verifies
    GET /readyz                   the program runs
    GET /static/NAME               files named by their digest

Rules
1. Pages are made in worker threads; the event loop only passes bytes.
2. One verification at a time: the next one is told to come back, with 503.
3. Every failure is a page with a code and what to do. What was not foreseen is logged with the reference that the
   page shows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from appliance.base import log
from appliance.base.errors import ApplianceError
from appliance.governance import codes as governance_codes
from appliance.orchestration import codes as orchestration_codes
from appliance.portal import codes
from appliance.portal.connections import connections_outside
from appliance.portal.pages import data as data_page
from appliance.portal.pages import home, models, predictions, trust
from appliance.portal.pages.reading import read
from appliance.portal.protection import Application, Protection
from appliance.portal.rendering import Page, Renderer
from appliance.portal.view import PortalData
from appliance.storage import codes as storage_codes

_log = logging.getLogger(__name__)

STATUS = {
    codes.NOT_FOUND: 404,
    codes.QUERY_INVALID: 400,
    codes.HOST_REFUSED: 400,
    codes.METHOD_REFUSED: 405,
    storage_codes.TABLE_MISSING: 404,
    governance_codes.MODEL_UNKNOWN: 404,
    orchestration_codes.UNKNOWN_SUBJECT: 404,
}
NAV = (
    ("home", "/", "Home"),
    ("data", "/data", "Data"),
    ("models", "/models", "Models"),
    ("predictions", "/predictions", "Predictions"),
    ("trust", "/trust", "Trust"),
)


class Portal:
    """The portal of one site; `application` is what a server runs."""

    def __init__(self, data: PortalData) -> None:
        self._data = data
        self._renderer = Renderer()
        self._verifying = anyio.Lock()
        inner = Starlette(
            routes=[
                Route("/", self._page(lambda _: home.page(data))),
                Route("/data", self._page(lambda request: data_page.page(data, request.query_params))),
                Route("/models", self._page(lambda _: models.page(data))),
                Route("/models/{name}/{version:int}", self._page(self._model)),
                Route("/predictions", self._page(lambda request: predictions.page(data, request.query_params))),
                Route("/predictions/{id}", self._page(lambda request: predictions.detail(data, _id(request)))),
                Route("/trust", self._trust),
                Route("/readyz", _readyz),
                Route("/static/{name}", self._static),
            ],
            exception_handlers={
                ApplianceError: self._refused,
                HTTPException: self._not_routed,
                Exception: self._unexpected,
            },
        )
        inner.router.redirect_slashes = False
        self.application: Application = Protection(_traced(inner), self._host_refused)

    def _page(self, make: Callable[[Request], Page]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await anyio.to_thread.run_sync(lambda: self._response(make(request)))

        return answer

    def _model(self, request: Request) -> Page:
        return models.detail(self._data, request.path_params["name"], request.path_params["version"])

    async def _trust(self, request: Request) -> Response:
        subject = trust.subject_of(request.query_params)
        if not subject:
            return await anyio.to_thread.run_sync(lambda: self._response(trust.form(self._data)))
        try:
            self._verifying.acquire_nowait()
        except anyio.WouldBlock:
            return await anyio.to_thread.run_sync(lambda: self._response(trust.busy(subject)))
        try:
            return await anyio.to_thread.run_sync(lambda: self._response(trust.verify(self._data, subject)))
        finally:
            self._verifying.release()

    async def _static(self, request: Request) -> Response:
        file = self._renderer.files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return Response(file.content, media_type=file.media_type)

    # failures

    async def _refused(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, ApplianceError)
        return await anyio.to_thread.run_sync(lambda: self._failure(error, STATUS.get(error.code, 500)))

    async def _not_routed(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        shown = request.url.path[:200]
        if error.status_code == 405:
            refused = ApplianceError(codes.METHOD_REFUSED, f"{request.method} {shown} is not answered")
        else:
            refused = ApplianceError(codes.NOT_FOUND, f"there is no page {shown!r}")
        response = await anyio.to_thread.run_sync(lambda: self._failure(refused, error.status_code))
        response.headers.update(error.headers or {})
        return response

    async def _unexpected(self, request: Request, error: Exception) -> Response:
        trace_id = log.current_trace_id()
        _log.error("page failed", extra={"path": request.url.path, "error": f"{type(error).__name__}: {error}"})
        found = ApplianceError(codes.UNEXPECTED, f"{type(error).__name__}; reference {trace_id}")
        return await anyio.to_thread.run_sync(lambda: self._failure(found, 500))

    async def _host_refused(self, scope: Any, receive: Any, send: Any) -> None:
        error = ApplianceError(codes.HOST_REFUSED, "the Host of this request is not a loopback name")
        text = f"{error}\n{error.hint}\n"
        await PlainTextResponse(text, status_code=STATUS[codes.HOST_REFUSED])(scope, receive, send)

    def _failure(self, error: ApplianceError, status: int) -> Response:
        context = {"nav": "", "error": error, "status_code": status}
        return self._response(Page(template="error.html", context=context, status=status))

    def _response(self, page: Page) -> Response:
        html = self._renderer.html(page, self._common())
        return HTMLResponse(html, status_code=page.status, headers=dict(page.headers))

    def _common(self) -> Mapping[str, Any]:
        """The frame of every page. It is computed: what cannot be, is said not to be known."""
        return {
            "site_name": self._data.site.settings.site.name,
            "navigation": NAV,
            "checkpoint": read("the transparency log", self._data.checkpoint),
            "outside": connections_outside(),
            "now": self._data.clock.now(),
        }


def _id(request: Request) -> str:
    found: str = request.path_params["id"]
    return found


async def _readyz(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _traced(application: Application) -> Application:
    """Give each request a trace id, which its log lines carry."""

    async def traced(scope: Any, receive: Any, send: Any) -> None:
        with log.tracing(log.new_trace_id()):
            await application(scope, receive, send)

    return traced
