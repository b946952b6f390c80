"""How the reference is cut into pages: by what a person wants to do, each of the document's tags in one chapter."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


@dataclass(frozen=True)
class Chapter:
    """A page of the reference. `tags` are the OpenAPI document's, in the order in which they are shown."""

    slug: str
    title: Promise
    lead: Promise
    icon: str
    tags: tuple[str, ...]


CHAPTERS = (
    Chapter(
        "calls",
        _("Calls"),
        _("Send an image, know its price before, and fetch results that take longer."),
        "photo-scan",
        ("detect", "estimate", "jobs", "models"),
    ),
    Chapter(
        "usage",
        _("Balance and usage"),
        _("What is left, what was spent and on what, and when it runs out."),
        "chart-bar",
        ("balance", "usage", "forecast", "statements"),
    ),
    Chapter(
        "sub-tokens",
        _("Sub-tokens"),
        _("Slices of your Tokens with secrets of their own: make, fill, change, rotate and revoke them."),
        "key",
        ("sub_tokens",),
    ),
    Chapter(
        "accounts",
        _("Accounts and teams"),
        _("Share Tokens out over teams and below them, and take them back."),
        "hierarchy-2",
        ("teams", "accounts"),
    ),
    Chapter(
        "ledger",
        _("Ledger and limits"),
        _("Every grant, every transfer with its entries, and the ceilings above them."),
        "arrows-exchange",
        ("grants", "ledger", "limits"),
    ),
    Chapter(
        "buying",
        _("Buying"),
        _("Packages, free amounts, codes, and Tokens that are bought automatically."),
        "credit-card",
        ("packages", "topups", "redeem", "auto_topup"),
    ),
    Chapter(
        "plans",
        _("Plans and boosts"),
        _("What the organization may use at most, by the month or for some hours."),
        "bolt",
        ("plan", "plans", "boosts"),
    ),
    Chapter(
        "refunds",
        _("Refunds and debts"),
        _("Money that goes back, disputes, and what is owed after them."),
        "receipt",
        ("payments", "refunds", "disputes", "debts"),
    ),
    Chapter(
        "alerts",
        _("Alerts and webhooks"),
        _("What is watched, who is told, and the addresses that events are sent to."),
        "bell",
        ("alerts", "alert_settings", "alert_preferences", "webhook_endpoints", "webhook_deliveries"),
    ),
    Chapter(
        "organization",
        _("Organization"),
        _("Members, invitations, single sign-on, management keys and the audit log."),
        "users",
        ("organization", "members", "invitations", "single_sign_on", "management_keys", "audit_events"),
    ),
)
