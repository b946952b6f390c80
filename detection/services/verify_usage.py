"""Verifying the sums of usage against the ledger's captures, organization by organization."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings

from detection.queries.usage_check import disagreements
from tenants.queries.organizations import every_organization
from tenants.scope import platform_scope


def verify_usage(*, now: dt.datetime, organization_slug: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Compare the sums of the days whose hours are kept with the captures; return what is off, by organization's slug.

    One transaction with one snapshot for each organization, no locks: safe beside traffic.
    """
    since = (now - dt.timedelta(days=settings.CALLS_KEPT_DAYS - 1)).astimezone(dt.UTC).date()
    off = {}
    for organization_id, slug in every_organization(organization_slug):
        with platform_scope("verify usage", patient=True):
            found = disagreements(organization_id, since=since)
        if found:
            off[slug] = found
    return off
