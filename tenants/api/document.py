"""`GET /v1/openapi.json`: the API described by itself (OpenAPI 3.1)."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from drf_spectacular.generators import SchemaGenerator

from tenants.api.json import dumps


@require_safe
def openapi_document(request: HttpRequest) -> HttpResponse:
    """Return the OpenAPI document. Anybody may read it."""
    response = HttpResponse(_document(), content_type="application/json")
    response["Cache-Control"] = "public, max-age=300"
    response["Access-Control-Allow-Origin"] = "*"
    return response


@lru_cache(maxsize=1)
def document() -> dict[str, Any]:
    """Return the document as its readers get it; it is not to be changed."""
    read: dict[str, Any] = json.loads(_document())
    return read


@lru_cache(maxsize=1)
def _document() -> bytes:
    return dumps(SchemaGenerator().get_schema(request=None, public=True))
