"""Organizations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime

from tenants.models import Organization
from tenants.scope import platform_scope

ORGANIZATIONS_AT_ONCE = 500


def every_organization(slug: str | None = None) -> Iterator[tuple[uuid.UUID, str]]:
    """Yield id and short name of every organization (or of one), in the order of ids; each page in a scope of its own.

    The caller's work on one organization runs between the pages, so that no transaction spans all of them.
    """
    last = uuid.UUID(int=0)
    while True:
        with platform_scope("every organization"):
            found = Organization.objects.filter(id__gt=last).order_by("id")
            if slug is not None:
                found = found.filter(slug=slug)
            page = list(found.values_list("id", "slug")[:ORGANIZATIONS_AT_ONCE])
        yield from page
        if len(page) < ORGANIZATIONS_AT_ONCE:
            return
        last = page[-1][0]


def frozen_at(organization_id: uuid.UUID) -> datetime | None:
    """Return since when staff let nothing be spent or changed in an organization, or None. Needs its scope."""
    return Organization.objects.filter(id=organization_id).values_list("frozen_at", flat=True).first()
