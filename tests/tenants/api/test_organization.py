"""`/v1/organization` and `/v1/teams/{id}`: what the settings and team pages do, over the API."""

import json
import uuid
from typing import Any

import pytest

from tenants.models import AuditEvent, Organization
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_wallet
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db


def patch(manager: ApiClient, path: str, data: Any) -> Any:
    return manager.raw("PATCH", path, json.dumps(data).encode(), "application/json")


def test_the_organization_is_shown_and_renamed(alpha: Organization) -> None:
    manager = manager_of(alpha)
    assert body(manager.get("/v1/organization"))["slug"] == "alpha"
    assert body(patch(manager, "/v1/organization", {"name": "Alpha Works"}))["name"] == "Alpha Works"
    assert body(manager.get("/v1/organization"))["name"] == "Alpha Works"
    with organization_scope(alpha.id):
        assert AuditEvent.objects.get(action="organization.renamed").before == {"name": "Alpha"}


@pytest.mark.parametrize("data", [{"name": ""}, {"name": "x" * 121}, {"name": "A", "slug": "b"}])
def test_a_name_that_is_none(alpha: Organization, data: dict[str, str]) -> None:
    assert patch(manager_of(alpha), "/v1/organization", data).status_code == 422


def test_looking_is_not_renaming(alpha: Organization) -> None:
    viewer = manager_of(alpha, Permission.ORGANIZATION_VIEW)
    assert viewer.get("/v1/organization").status_code == 200
    assert body(patch(viewer, "/v1/organization", {"name": "B"}))["code"] == "insufficient_scope"


def test_a_team_is_renamed_and_moved(alpha: Organization) -> None:
    make_wallet(alpha)
    manager = manager_of(alpha)
    plant, line = make_team(alpha, "Plant"), make_team(alpha, "Line")
    path = f"/v1/teams/{line.id}"
    assert body(manager.get(path))["parent"] is None
    assert body(patch(manager, path, {"parent": str(plant.id)}))["parent"] == str(plant.id)
    answer = body(patch(manager, path, {"name": "Line 2"}))
    assert (answer["name"], answer["parent"]) == ("Line 2", str(plant.id))
    assert body(patch(manager, path, {"name": "Plant"}))["code"] == "conflict"
    assert body(patch(manager, f"/v1/teams/{plant.id}", {"parent": str(line.id)}))["code"] == "conflict"
    assert patch(manager, path, {"parent": str(uuid.uuid4())}).status_code == 422


def test_another_organization_s_team_is_no_team(alpha: Organization, beta: Organization) -> None:
    make_wallet(beta)
    outsider, theirs = manager_of(beta), make_team(alpha, "Plant")
    mine = make_team(beta, "Shop")
    for path in (f"/v1/teams/{theirs.id}", f"/v1/teams/{uuid.uuid4()}"):
        assert outsider.get(path).status_code == 404
        assert patch(outsider, path, {"name": "Mine"}).status_code == 404
    assert patch(outsider, f"/v1/teams/{mine.id}", {"parent": str(theirs.id)}).status_code == 422
