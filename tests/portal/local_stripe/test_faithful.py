"""That the stand-in cannot drift from Stripe unseen: every parameter and answer against the stripe library's types."""

from __future__ import annotations

import copy
import typing
from pathlib import Path
from typing import Any

import pytest
import stripe

from portal.local.stripe import types
from portal.local.stripe.app import ROUTES
from portal.local.stripe.routes import Route
from portal.local.stripe.world import API_VERSION
from tests.portal.local_stripe.conftest import told
from tests.portal.local_stripe.faithful import differences
from tests.stripe_standin import SECRET_KEY, StandIn

ROOT = Path(__file__).resolve().parents[3]


def test_the_version_is_the_one_that_the_library_is_pinned_to() -> None:
    assert stripe.api_version == API_VERSION


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_parameter_that_is_acted_on_is_one_of_stripe(route: Route) -> None:
    params = types.parameters(route.params)
    assert {name for name in route.names if not _known(name.split("."), params)} == set()


def _known(names: list[str], hint: Any) -> bool:
    if not names:
        return True
    parts = [part for whole in types.alternatives(hint) for part in _inside(whole)]
    return any(names[0] in types.hints(part) and _known(names[1:], types.hints(part)[names[0]]) for part in parts)


def _inside(part: Any) -> list[Any]:
    if typing.get_origin(part) is list:
        (inner,) = typing.get_args(part)
        return [found for whole in types.alternatives(inner) for found in _inside(whole)]
    return [part] if types.is_params(part) else []


@pytest.fixture
def made(standin: StandIn, client: stripe.StripeClient) -> dict[str, Any]:
    """One customer as the stand-in answers it."""
    answer = standin.http.post("/v1/customers", headers={"Authorization": f"Bearer {SECRET_KEY}"}).json()
    assert differences(answer) == []
    return answer


def test_what_no_event_and_no_list_shows_has_the_shape_too(
    standin: StandIn, client: stripe.StripeClient, customer: stripe.Customer
) -> None:
    method = client.v1.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    client.v1.customers.tax_ids.create(customer.id, {"type": "eu_vat", "value": "DE123456789"})
    item = {"price_data": {"currency": "cny", "unit_amount": 990, "product_data": {"name": "Pack"}}, "quantity": 2}
    asked = {"mode": "payment", "customer": customer.id, "success_url": "http://localhost:1/", "line_items": [item]}
    session = client.v1.checkout.sessions.create(asked)
    standin.pay(session.url)
    for path, params in (
        (f"payment_methods/{method.id}", {}),
        (f"customers/{customer.id}", {"expand[0]": "tax_ids", "expand[1]": "invoice_settings.default_payment_method"}),
        (f"customers/{customer.id}/payment_methods", {}),
        (f"customers/{customer.id}/tax_ids", {}),
        (f"checkout/sessions/{session.id}", {"expand[0]": "line_items", "expand[1]": "payment_intent.latest_charge"}),
        (f"checkout/sessions/{session.id}/line_items", {}),
    ):
        assert differences(told(standin, path, **params)) == [], path
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    portal = standin.http.post("/v1/billing_portal/sessions", data={"customer": customer.id}, headers=headers).json()
    assert differences(portal) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"favourite": "red"}, "customer.favourite: Stripe has no such attribute"),
        ({"created": "today"}, "customer.created: 'today' is no <class 'int'>"),
        ({"livemode": None}, "customer.livemode: null"),
        ({"tax_exempt": "sometimes"}, "customer.tax_exempt: 'sometimes' is none of"),
        ({"address": {"planet": "Mars"}}, "customer.address.planet: Stripe has no such attribute"),
        ({"invoice_settings": {"footer": 7}}, "customer.invoice_settings.footer: 7 is no <class 'str'>"),
    ],
)
def test_a_drift_would_be_seen(made: dict[str, Any], change: dict[str, Any], said: str) -> None:
    (found,) = differences({**copy.deepcopy(made), **change})
    assert found.startswith(said)


def test_a_missing_attribute_would_be_seen(made: dict[str, Any]) -> None:
    del made["created"]
    assert differences(made) == ["customer.created: missing"]
