"""Every page of the console, in the order of the sidebar: what the sidebar and the command palette list."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.permissions import Permission


@dataclass(frozen=True)
class Page:
    """A page of an organization. `name` is its URL's name; `permission` is what a role needs to see it."""

    name: str
    label: str | Promise
    icon: str
    permission: Permission
    words: str = ""  # what else a person might type to find it


@dataclass(frozen=True)
class Section:
    title: str | Promise
    pages: tuple[Page, ...]


P = Permission
SECTIONS = (
    Section(
        "",
        (
            Page("overview", _("Overview"), "layout-dashboard", P.ORGANIZATION_VIEW, "home dashboard balance"),
            Page("playground", _("Playground"), "photo-scan", P.PLAYGROUND_RUN, "detect try image"),
        ),
    ),
    Section(
        _("Tokens"),
        (
            Page("splitting", _("Splitting"), "arrows-split", P.LEDGER_VIEW, "tree pools allocate reclaim move share"),
            Page("sub_tokens", _("Sub-tokens"), "key", P.SUB_TOKENS_VIEW, "credentials secrets api keys"),
            Page("grants", _("Grants"), "coins", P.GRANTS_VIEW, "lots burn order expiry"),
            Page(
                "billing_home", _("Billing"), "credit-card", P.GRANTS_VIEW, "payments invoices receipts tax money plan"
            ),
            Page("limits", _("Limits"), "gauge", P.LIMITS_VIEW, "budget quota rate per hour day month ceiling"),
            Page("ledger", _("Ledger"), "arrows-exchange", P.LEDGER_VIEW, "transfers entries"),
        ),
    ),
    Section(
        _("Insight"),
        (
            Page("usage", _("Usage"), "chart-bar", P.CALLS_VIEW, "cost attribution tags teams models report"),
            Page("calls", _("Calls"), "list-details", P.CALLS_VIEW, "jobs requests history log"),
            Page("alerts", _("Alerts"), "bell", P.ALERTS_VIEW, "notifications inbox levels mute digest"),
            Page("statement", _("Statement"), "report", P.LEDGER_VIEW, "month end reconciliation pdf finance invoice"),
            Page("forecast", _("Forecast"), "trending-down", P.GRANTS_VIEW, "runway runs out burn pace"),
        ),
    ),
    Section(
        _("Organization"),
        (
            Page("members", _("Members"), "users", P.MEMBERS_VIEW, "people roles invite"),
            Page("teams", _("Teams"), "hierarchy-2", P.ORGANIZATION_VIEW, "projects pools"),
            Page("organization_settings", _("Settings"), "settings", P.ORGANIZATION_MANAGE, "name"),
        ),
    ),
    Section(
        _("Automation and proof"),
        (
            Page("management_keys", _("Management keys"), "shield-lock", P.MANAGEMENT_KEYS_MANAGE, "api admin"),
            Page("webhooks", _("Webhooks"), "webhook", P.WEBHOOKS_MANAGE, "endpoints slack http callbacks"),
            Page("audit_events", _("Audit log"), "history", P.AUDIT_VIEW, "events who did what"),
            Page("security", _("Security"), "lock", P.ORGANIZATION_MANAGE, "second factor single sign-on sso passkey"),
        ),
    ),
)


@dataclass(frozen=True)
class Link:
    url: str
    label: str
    icon: str
    words: str
    current: bool


@dataclass(frozen=True)
class LinkSection:
    title: str
    items: list[Link]


def sections_for(request: HttpRequest, slug: str, permissions: frozenset[Permission]) -> list[LinkSection]:
    """Return the sidebar of an organization for somebody with these permissions."""
    found = []
    for section in SECTIONS:
        links = [
            Link(url, str(page.label), page.icon, page.words, _is_current(request, url, page.name))
            for page in section.pages
            if page.permission in permissions
            for url in [reverse(page.name, args=[slug])]
        ]
        if links:
            found.append(LinkSection(str(section.title), links))
    return found


def _is_current(request: HttpRequest, url: str, name: str) -> bool:
    # The overview's address is the beginning of all the others'.
    return request.path == url or (name != "overview" and request.path.startswith(url))
