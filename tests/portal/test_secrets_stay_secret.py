"""Secrets planted where a careless caller leaves them: none comes out in a log, a page, an answer or an event.

Everything that is written anywhere during these requests is collected and searched.
"""

from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from django.conf import settings as configured
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings

from billing.codes import new_code
from billing.services.stripe_events import process_due_events
from portal.logs import logging_settings
from tenants.models import Organization, User
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, new_secret, without_secrets
from tests import stripe_standin as standin_settings
from tests.api_client import ApiClient, manager_of
from tests.factories.billing import make_wallet
from tests.factories.rows import tenant_models
from tests.factories.sub_tokens import make_sub_token
from tests.stripe_standin import DECLINED, PAID, StandIn, signed

pytestmark = pytest.mark.django_db

PASSWORD = "tr0ub4dor-and-3-more-words"
STRIPE = "sk_live_" + "51HqLyjWDarjtT1zdp7dcAbCdEf"
WEBHOOK = "whsec_" + "5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH"
WRONG = "sk_live_" + "51HqLyjWDarjtT1zdp7dcWrOnG"


class Leak(Exception):
    """A crash whose message has a secret in it."""


@pytest.fixture
def logs() -> Iterator[io.StringIO]:
    """Everything that is logged, as production writes it."""
    written = io.StringIO()
    logging.config.dictConfig(logging_settings(pretty=False, level="DEBUG"))
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    root = logging.getLogger()
    for name in ("gunicorn.access", "gunicorn.error", "django.request", "django.server"):
        logging.getLogger(name).handlers = [handler]
    yield written
    logging.config.dictConfig(configured.LOGGING)
    structlog.reset_defaults()
    logging_settings(pretty=True, level="INFO")
    assert root.handlers


def written_rows(organization: Organization) -> str:
    """Return everything that the database has of an organization, and of persons' sessions, as text."""
    with platform_scope("look"), connection.cursor() as cursor:
        texts = []
        for model in tenant_models():
            cursor.execute(f"SELECT t::text FROM {model._meta.db_table} t WHERE org_id = %s", [organization.id])
            texts += [text for (text,) in cursor.fetchall()]
    return "\n".join(texts)


def test_secrets_stay_secret(
    alpha: Organization, alice: User, logs: io.StringIO, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.METRICS_TOKEN, settings.DEVELOPMENT = "metrics-secret-0815", False
    alice.set_password(PASSWORD)
    alice.save()
    manager = manager_of(alpha)
    assert manager.secret
    _, token = make_sub_token(alpha, "Line 1")
    unknown = new_secret(SecretKind.SUB_TOKEN)
    secrets = [PASSWORD, manager.secret, token, unknown, STRIPE, WEBHOOK, settings.METRICS_TOKEN]
    answers: list[Any] = []

    browser = Client(raise_request_exception=False)
    answers += [
        browser.post("/accounts/login/", {"login": alice.email, "password": password})
        for password in (f"{PASSWORD}-wrong", PASSWORD)
    ]
    browser.force_login(alice)
    # Pasted into a name, an address, a reason, a header, a search.
    browser.post("/o/alpha/teams/new/", {"name": f"Line {STRIPE}"}, headers={"User-Agent": f"curl {token}"})
    browser.post("/o/alpha/settings/", {"name": f"Alpha {WEBHOOK}"}, headers={"X-Request-Id": manager.secret})
    browser.get("/o/alpha/teams/")  # which says once more what was just typed
    answers.append(browser.get("/o/alpha/no-such-page/", {"token": token, "password": PASSWORD}))
    for caller in (ApiClient(token), ApiClient(manager.secret), ApiClient(unknown), ApiClient(f"{token}x")):
        paths = ("/v1/models", "/v1/balance", "/v1/sub_tokens", "/v1/no-such-thing", f"/v1/jobs/{token}")
        answers += [caller.get(path, token=token, key=manager.secret) for path in paths]
        answers.append(caller.post("/v1/sub_tokens", {"name": token, "tokens": "none", "secret": manager.secret}))
        answers.append(caller.post("/v1/detect", f"not json {token}"))
        answers.append(caller.post("/v1/estimate", {"model": unknown, "password": PASSWORD}))
    answers.append(Client().get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"}))
    answers.append(Client().get("/readyz"))

    # A crash of ours, with everything in reach.
    def crash(*_: Any, **__: Any) -> None:
        raise Leak(f"{token} {manager.secret} {STRIPE} {WEBHOOK}")

    monkeypatch.setattr("tenants.views.teams.create_team", crash)
    answers.append(browser.post("/o/alpha/teams/new/", {"name": "Line 2", "password": PASSWORD}))
    assert answers[-1].status_code == 500
    monkeypatch.setattr("billing.api.teams.TeamListView.get", crash)
    answers.append(ApiClient(manager.secret).get("/v1/teams"))
    assert answers[-1].status_code == 500
    logging.getLogger("gunicorn.access").info("GET /v1/models?token=%s&key=%s 200", token, manager.secret)

    places = {
        "the log": logs.getvalue(),
        # The team is called what somebody called it.
        "the rows": written_rows(alpha).replace(f"Line {STRIPE}", ""),
        "the events": events_of(alpha),
        "the answers": "\n".join(b"".join(answer).decode() + str(answer.headers) for answer in answers),
    }
    assert "Leak" in places["the log"]
    for place, text in places.items():
        for secret in secrets:
            # A caller may read what the same request said: a name that was refused, an address that is not there.
            assert place == "the answers" or secret not in text, f"{secret[:12]} in {place}"
    for secret in (PASSWORD, manager.secret, token, STRIPE, WEBHOOK, settings.METRICS_TOKEN):
        echoed = [a for a in answers if secret in b"".join(a).decode() and secret not in str(a.wsgi_request.body)]
        assert [a.wsgi_request.path for a in echoed if secret not in a.wsgi_request.get_full_path()] == []


def events_of(organization: Organization) -> str:
    """Return an organization's audit events as text."""
    with organization_scope(organization.id), connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM tenants_auditevent t WHERE org_id = %s", [organization.id])
        return "\n".join(text for (text,) in cursor.fetchall())


def test_what_is_cut_short() -> None:
    token = new_secret(SecretKind.SUB_TOKEN)
    assert without_secrets({"a": [f"x {token} y"], "b": 1, "c": None}) == {
        "a": [f"x {token[:12]}… y"],
        "b": 1,
        "c": None,
    }
    assert without_secrets("x pi_1AbC_secret_dEf0 y") == "x pi_1AbC_secret_… y"
    for text in (STRIPE, WEBHOOK):
        assert text not in json.dumps(without_secrets(text))
    code = new_code()
    assert without_secrets(f"Please: {code}!") == f"Please: {code[:9]}…!"
    for harmless in (token[:12], "task_list_of_everything", "sk_live", "risk_live_feed_of_lines", ""):
        assert without_secrets(harmless) == harmless


def test_what_pays_stays_secret(
    alpha: Organization,
    alice: User,
    logs: io.StringIO,
    standin: StandIn,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Buying, declined and paid, told of by events that are right, wrong and broken; and Stripe refusing our key."""
    settings.DEVELOPMENT = False
    make_wallet(alpha)
    manager, browser = manager_of(alpha), Client(raise_request_exception=False)
    browser.force_login(alice)
    answers: list[Any] = [
        manager.post("/v1/topups", {"tokens": 1000, "currency": "CNY"}, Idempotency_Key="order-1"),
        browser.post("/o/alpha/billing/top-up/", {"key": uuid4(), "currency": "CNY", "tokens": 1000}),
    ]
    url = json.loads(answers[0].content)["checkout_url"]
    standin.pay(url, DECLINED)
    standin.pay(url)
    events = standin.events()
    client_secrets = {found for event in events if (found := event["data"]["object"].get("client_secret"))}
    assert client_secrets
    for event in events:
        body, signature = signed(event)
        answers += [
            browser.post("/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": sent})
            for sent in (signature, f"{signature}x", standin_settings.WEBHOOK_SECRET)
        ]
    process_due_events()

    def broken(*_: Any, **__: Any) -> None:
        raise Leak(f"{standin_settings.SECRET_KEY} {standin_settings.WEBHOOK_SECRET} {min(client_secrets)}")

    with monkeypatch.context() as patched:
        patched.setattr("billing.services.stripe_events.checkout.session", broken)
        again = {**standin.events("checkout.session.completed")[0], "id": "evt_again"}
        body, signature = signed(again)
        browser.post("/webhooks/stripe", body, content_type="application/json", headers={"Stripe-Signature": signature})
        process_due_events()
    payment = json.loads(answers[0].content)["id"]
    pages = ("billing/", "billing/details/", "billing/top-up/", f"billing/payments/{payment}/", "billing/payments.csv")
    answers += [browser.get(f"/o/alpha/{page}") for page in pages]
    answers += [manager.get("/v1/topups"), manager.get(f"/v1/topups/{payment}")]
    # Stripe does not know the key: what it answers quotes it.
    settings.STRIPE_SECRET_KEY = WRONG
    answers.append(manager.post("/v1/topups", {"tokens": 1000, "currency": "CNY"}))
    assert answers[-1].status_code >= 500
    with platform_scope("look"), connection.cursor() as cursor:
        cursor.execute("SELECT t::text FROM billing_stripeevent t")
        stored = "\n".join(text for (text,) in cursor.fetchall())
    assert stored.count("evt_") >= len(events)
    places = {
        "the log": logs.getvalue(),
        "the rows": written_rows(alpha),
        "the events": stored,
        "the answers": "\n".join(b"".join(answer).decode() + str(answer.headers) for answer in answers),
    }
    assert "Leak" in places["the log"]
    assert "visa 4242" in places["the answers"]
    card = (PAID, DECLINED, "4242 4242 4242 4242")
    for place, text in places.items():
        for secret in (standin_settings.SECRET_KEY, standin_settings.WEBHOOK_SECRET, WRONG, *client_secrets, *card):
            assert secret not in text, f"{secret[:12]} in {place}"
