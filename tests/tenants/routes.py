"""Every route that the portal answers, found in its URL configuration, for tests that walk all of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.urls import URLPattern, URLResolver, get_resolver

from billing.models import Account, Alert, AlertMute, Payment, SubToken, WebhookDelivery, WebhookEndpoint
from detection.models import Job
from tenants.models import Invitation, ManagementKey, Membership, Team, User
from tests.factories.rows import Rows

CONSOLE = "o/<slug:slug>/"
API = "v1/"
# Pages of the platform's staff, which do not exist for anybody else: see tests/tenants/walls/test_staff.py.
STAFF = "staff/"

# Routes that show nothing of any organization, and why.
OPEN = {
    "": "the front page",
    "pricing/": "what is sold, to everybody",
    "api/": "the API reference, to everybody",
    "api/<slug:chapter>/": "the API reference, to everybody",
    "i18n/setlang/": "chooses a language",
    "healthz": "says that the process lives",
    "readyz": "says that the parts are there",
    "metrics": "the platform's numbers",
    "webhooks/stripe": "takes what Stripe signed, see tests/billing/payments/test_webhook.py",
    "dev/mail/": "on a developer's machine only, see tests/portal/test_mail.py",
    "dev/mail/<uuid:mail_id>/": "on a developer's machine only",
    "dev/mail/<uuid:mail_id>/html/": "on a developer's machine only",
}
OPEN_PREFIXES = {
    "sso/": "leads to an organization's own provider, see tests/tenants/sign_on",
    "accounts/": "signing up and in, by django-allauth",
    "invitations/": "shown to whoever has the secret that was mailed, see tests/tenants/test_invitations.py",
}
# Routes of a person, for which they must be signed in.
PERSONAL = {"home/", "account/", "account/delete/", "account/sessions/", "account/sessions/end/", "organizations/new/"}
# API routes that need no credential, and why.
OPEN_API = {
    "v1/openapi.json": "describes the API",
    "v1/docs/": "describes the API",
}

# What stands for an argument of a route: the row of one organization.
OBJECTS: dict[str, type] = {
    "invitation_id": Invitation,
    "membership_id": Membership,
    "team_id": Team,
    "key_id": ManagementKey,
    "sub_token_id": SubToken,
    "account_id": Account,
    "job_id": Job,
    "payment_id": Payment,
    "alert_id": Alert,
    "mute_id": AlertMute,
    "endpoint_id": WebhookEndpoint,
    "delivery_id": WebhookDelivery,
    "user_id": User,
}
# What has to be sent so that a route looks for the row at all, instead of sending an empty form back.
FORMS: dict[str, dict[str, Any]] = {
    "v1/accounts/<uuid:account_id>/rearrange": {"changes": [{"account": str(uuid4()), "tokens": 1}]},
    "v1/accounts/<uuid:account_id>/split": {"tokens": 1, "parts": [{"name": "Line 1"}]},
    "v1/sub_tokens/<uuid:sub_token_id>/ceiling": {"tokens": 1},
    "v1/sub_tokens/<uuid:sub_token_id>/move": {"to": str(uuid4()), "tokens": 1},
    "v1/teams/<uuid:team_id>/allocate": {"tokens": 1},
    "v1/teams/<uuid:team_id>/ceiling": {"tokens": 1},
    "v1/teams/<uuid:team_id>/move": {"to": str(uuid4()), "tokens": 1},
    "v1/sub_tokens/<uuid:sub_token_id>/allocate": {"tokens": 1},
    "o/<slug:slug>/members/<uuid:membership_id>/role/": {"role": "viewer"},
    "v1/members/<uuid:membership_id>": {"role": "viewer"},
    "v1/webhook_endpoints/<uuid:endpoint_id>": {"name": "Mine"},
    "v1/alert_preferences/<uuid:user_id>": {"daily_digest": True},
    "v1/alert_preferences/<uuid:user_id>/mutes": {"until": "2100-01-01T00:00:00Z"},
}
# What is posted to an operation whose body points to rows by their ids: valid but for those, which the test puts in.
BODIES: dict[str, dict[str, Any]] = {
    "post /v1/accounts/{account_id}/rearrange": {"changes": [{"tokens": 1}]},
    "post /v1/accounts/{account_id}/split": {"tokens": 1, "parts": [{"name": "Line 1"}]},
    "post /v1/sub_tokens": {"name": "Line 9", "tokens": 1},
    "post /v1/sub_tokens/{sub_token_id}/move": {"tokens": 1},
    "post /v1/topups": {},
    "post /v1/boosts": {},
    "put /v1/auto_topup": {"enabled": False, "threshold": 10, "monthly_ceiling_minor": 100_000},
    "post /v1/sub_tokens/bulk": {"act": "suspend"},
    "post /v1/teams": {"name": "Line 9"},
    "patch /v1/teams/{team_id}": {"name": "Line 9"},
    "post /v1/alert_preferences/{user_id}/mutes": {"until": "2100-01-01T00:00:00Z"},
    "post /v1/teams/{team_id}/move": {"tokens": 1},
}
ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")


@dataclass(frozen=True)
class Route:
    """A pattern such as `o/<slug:slug>/teams/<uuid:team_id>/` and what answers it."""

    pattern: str
    view: Callable[..., Any]

    @property
    def form(self) -> dict[str, Any]:
        """Return what is posted to it."""
        return FORMS.get(self.pattern, {})

    def arguments(self) -> list[str]:
        """Return the names in the pattern."""
        return ARGUMENT.findall(self.pattern)

    def objects(self) -> list[str]:
        """Return the arguments that are a row's id."""
        return [name for name in self.arguments() if name != "slug"]

    def path(self, **values: Any) -> str:
        """Return the address with these arguments."""
        return "/" + ARGUMENT.sub(lambda found: str(values[found[1]]), self.pattern)

    def path_to(self, rows: Rows, *, slug: str) -> str:
        """Return the address of an organization's rows, under the slug of any organization."""
        return self.path(slug=slug, **{name: rows[OBJECTS[name]].pk for name in self.objects()})


def routes() -> list[Route]:
    """Return every route."""

    def walk(resolver: URLResolver, prefix: str) -> Iterator[Route]:
        for entry in resolver.url_patterns:
            pattern = prefix + str(entry.pattern)
            if isinstance(entry, URLPattern):
                yield Route(pattern, entry.callback)
            else:
                yield from walk(entry, pattern)

    return list(walk(get_resolver(), ""))


def console_routes() -> list[Route]:
    """Return the pages of an organization."""
    return [route for route in routes() if route.pattern.startswith(CONSOLE)]


def api_routes() -> list[Route]:
    """Return the routes of the REST API that need a credential."""
    return [route for route in routes() if route.pattern.startswith(API) and route.pattern not in OPEN_API]


def methods_of(route: Route) -> list[str]:
    """Return what an API route answers to."""
    view = route.view.view_class  # type: ignore[attr-defined]
    return [name for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)]


def staff_routes() -> list[Route]:
    """Return the pages of the staff console."""
    return [route for route in routes() if route.pattern.startswith(STAFF)]
