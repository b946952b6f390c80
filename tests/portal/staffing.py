"""Acts of the staff, as they are done on the pages."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from django.test import Client

from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
from tests.detection.conftest import Caller, _fresh_memory, make_caller, version  # noqa: F401 fixtures

REASON = "The customer asked for it, ticket 4711"


def events(organization: Organization, action: str) -> list[AuditEvent]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.filter(action=action).order_by("id"))


def act(staff: Client, organization: Organization, name: str, target: object = None, **fields: Any) -> tuple[str, str]:
    """Go the whole way: form, numbers, confirmation. Return the page with the numbers and the one afterwards."""
    path = f"/staff/organizations/{organization.id}/acts/{name}/" + (f"{target}/" if target else "")
    page = staff.get(path)
    assert page.status_code == HTTPStatus.OK
    key = re.search(r'name="key" value="([^"]+)"', page.content.decode())
    assert key
    form = {"reason": REASON, "key": key[1], **fields}
    numbers = staff.post(path, form)
    assert numbers.status_code == HTTPStatus.OK
    assert 'name="confirmed"' in numbers.content.decode(), "it was not done yet"
    done = staff.post(path, {**form, "confirmed": "1"}, follow=True)
    return numbers.content.decode(), done.content.decode()
