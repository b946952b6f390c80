"""`GET /v1/models`."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from billing.api.authentication import SubTokenAuthentication
from billing.pricing import NoPriceError, Prices, price_mtok
from billing.queries.credentials import Credential
from billing.queries.price_books import active_price_book
from detection.api import schema
from detection.api.detect import json_response
from detection.queries.catalogue import CatalogueModel, catalogue
from detection.services import answers
from tenants.api.authentication import ManagementKeyAuthentication
from tenants.api.views import ApiView


class ModelListView(ApiView):
    """Lists models."""

    authentication_classes = [SubTokenAuthentication, ManagementKeyAuthentication]

    @extend_schema(
        operation_id="models",
        summary="List the models",
        responses={200: schema.ModelList, **schema.problems(401, 403)},
    )
    def get(self, request: Request) -> HttpResponse:
        """List the models that the caller may use, whether they are installed, and what one image costs with each.

        Costs nothing. A sub-token sees the models that its policy allows, a management key all of them.
        """
        prices = active_price_book()
        models = [model for model in catalogue().models.values() if _allowed(request.auth, model)]
        return json_response({"data": [_shape(model, prices) for model in models], "price_book": prices.version})


def _allowed(credential: Any, model: CatalogueModel) -> bool:
    if not isinstance(credential, Credential):
        return True
    return credential.allows_model(model.name, model.task)


def _shape(model: CatalogueModel, prices: Prices) -> dict[str, Any]:
    current = model.current
    size = current.default_img_size if current else 640
    return {
        "name": model.name,
        "family": model.family,
        "letter": model.letter,
        "task": model.task,
        "title": model.title,
        "description": model.description,
        "installed": current is not None,
        "version": current.version if current else None,
        "versions": [
            {"version": version.version, "channel": version.channel, "installed": version.installed}
            for version in model.versions
        ],
        "classes": list(current.classes) if current else [],
        "default_img_size": size,
        "price_tokens": _price(model, prices, size),
    }


def _price(model: CatalogueModel, prices: Prices, img_size: int) -> float | int | None:
    try:
        return answers.tokens(price_mtok(prices, letter=model.letter, img_size=img_size, model=model.name))
    except NoPriceError:
        return None
