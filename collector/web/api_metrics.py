"""GET /metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from collector.web.context import site_of
from collector.web.problems import not_logged_in
from collector.web.security import current_user

router = APIRouter(tags=["monitoring"])


@router.get("/metrics", summary="Figures for Prometheus", response_class=Response)
def get_metrics(request: Request) -> Response:
    """Text format. Open unless `web.metrics_open` says no: then it needs a token."""
    site = site_of(request)
    if not site.settings.metrics_open and current_user(request) is None:
        raise not_logged_in()
    return Response(site.metrics.page(), media_type=CONTENT_TYPE_LATEST)
