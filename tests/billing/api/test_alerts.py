"""`/v1/alerts`, `/v1/alert_settings`, `/v1/alert_preferences` and `/v1/webhook_endpoints`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone

from billing.enums import AlertRule
from billing.services.alerts import raise_alert
from billing.services.webhooks import send_due_webhooks
from tenants.models import AuditEvent, Organization, User
from tenants.permissions import Permission
from tenants.scope import organization_scope
from tests.api_client import ApiClient, body, manager_of
from tests.receiving import Receiver

pytestmark = pytest.mark.django_db

ENDPOINT = {"name": "ERP", "kind": "signed", "url": "https://hooks.example/x", "rules": ["pool_used"]}


def ring(organization: Organization) -> None:
    with organization_scope(organization.id):
        raise_alert(
            organization_id=organization.id,
            rule=AlertRule.TOKENS_EXHAUSTED,
            subject_kind="organization",
            subject_id=organization.id,
            level=100,
            period="1",
            facts={"used_mtok": 1, "whole_mtok": 1},
            now=timezone.now(),
        )


def test_alerts_are_listed_and_shown(manager: ApiClient, outsider: ApiClient, rich: Organization) -> None:
    ring(rich)
    (listed,) = body(manager.get("/v1/alerts"))["data"]
    assert (listed["rule"], listed["level"], listed["severity"]) == ("tokens_exhausted", 100, "critical")
    assert listed["title"] == "Alpha has no Tokens left"
    assert listed["url"].endswith("/o/alpha/grants/")
    assert body(manager.get(f"/v1/alerts/{listed['id']}")) == listed
    assert body(manager.get("/v1/alerts", rule="pool_used"))["data"] == []
    assert manager.get("/v1/alerts", rule="nonsense").status_code == 422
    assert manager.get("/v1/alerts", subject="x").status_code == 422
    assert len(body(manager.get("/v1/alerts", subject=str(rich.id)))["data"]) == 1
    assert body(outsider.get("/v1/alerts"))["data"] == []
    assert outsider.get(f"/v1/alerts/{listed['id']}").status_code == 404


def test_levels_are_changed_and_checked(manager: ApiClient) -> None:
    assert body(manager.get("/v1/alert_settings"))["levels"] == [80, 95, 100]
    changed = body(manager.patch("/v1/alert_settings", {"levels": [90, 50, 50], "rules_off": ["unusual_burn"]}))
    assert (changed["levels"], changed["error_run"], changed["rules_off"]) == ([50, 90], 10, ["unusual_burn"])
    for wrong in (
        {"levels": []},
        {"levels": [0]},
        {"levels": [101]},
        {"levels": ["x"]},
        {"error_run": 0},
        {"level": 1},
    ):
        assert manager.patch("/v1/alert_settings", wrong).status_code == 422, wrong


def test_a_member_s_preferences(manager: ApiClient, outsider: ApiClient, alice: User, charlie: User) -> None:
    path = f"/v1/alert_preferences/{alice.id}"
    assert body(manager.get(path))["subscriptions"]["pool_used"] == {"inbox": True, "mail": True}
    wanted = {
        "subscriptions": {"pool_used": {"mail": False}},
        "quiet_from": "22:00",
        "quiet_until": "07:00",
        "time_zone": "Asia/Shanghai",
        "daily_digest": True,
    }
    changed = body(manager.patch(path, wanted))
    assert changed["subscriptions"]["pool_used"] == {"inbox": True, "mail": False}
    assert (changed["quiet_from"], changed["time_zone"], changed["digest_at"]) == ("22:00", "Asia/Shanghai", "08:00")
    assert body(manager.patch(path, {"quiet_from": None, "quiet_until": None}))["quiet_until"] is None
    for wrong in (
        {"quiet_from": "22:00"},
        {"time_zone": "Mars/Olympus"},
        {"subscriptions": {"nonsense": {"mail": True}}},
        {"subscriptions": {"pool_used": {"pigeon": True}}},
        {"quiet_from": "25:00", "quiet_until": "07:00"},
    ):
        assert manager.patch(path, wrong).status_code == 422, wrong
    assert outsider.get(path).status_code == 404
    assert outsider.patch(path, wanted).status_code == 404
    assert manager.get(f"/v1/alert_preferences/{charlie.id}").status_code == 404


def test_mutes(manager: ApiClient, outsider: ApiClient, alice: User) -> None:
    path = f"/v1/alert_preferences/{alice.id}"
    until = (timezone.now() + timedelta(days=2)).isoformat()
    muted = manager.post(f"{path}/mutes", {"rule": "unusual_burn", "until": until})
    assert muted.status_code == 201
    assert [mute["id"] for mute in body(manager.get(path))["mutes"]] == [body(muted)["id"]]
    assert manager.post(f"{path}/mutes", {"until": "2020-01-01T00:00:00Z"}).status_code == 422
    assert outsider.delete(f"{path}/mutes/{body(muted)['id']}").status_code == 404
    assert body(manager.delete(f"{path}/mutes/{body(muted)['id']}"))["mutes"] == []


def test_an_endpoint_s_life(manager: ApiClient, outsider: ApiClient, rich: Organization) -> None:
    made = manager.post("/v1/webhook_endpoints", ENDPOINT)
    assert made.status_code == 201
    secret = body(made).pop("secret")
    assert secret.startswith("tsw_")
    path = f"/v1/webhook_endpoints/{body(made)['id']}"
    shown = body(manager.get(path))
    assert "secret" not in shown
    assert secret not in str(body(manager.get("/v1/webhook_endpoints")))
    assert body(manager.patch(path, {"enabled": False}))["enabled"] is False
    rotated = body(manager.post(f"{path}/rotate", {}))
    assert rotated["secret"] != secret
    assert rotated["previous_secret_ends_at"]
    tested = manager.post(f"{path}/test", {})
    assert tested.status_code == 202
    (delivery,) = body(manager.get(f"{path}/deliveries"))["data"]
    assert delivery["event_type"] == "test"
    assert delivery["next_attempt_at"]
    assert manager.post(f"/v1/webhook_deliveries/{delivery['id']}/resend", {}).status_code == 202
    for act in (
        lambda: outsider.get(path),
        lambda: outsider.patch(path, {"name": "mine"}),
        lambda: outsider.post(f"{path}/rotate", {}),
        lambda: outsider.post(f"{path}/test", {}),
        lambda: outsider.get(f"{path}/deliveries"),
        lambda: outsider.post(f"/v1/webhook_deliveries/{delivery['id']}/resend", {}),
        lambda: outsider.delete(path),
    ):
        assert act().status_code == 404
    assert body(manager.delete(path)) == {"deleted_deliveries": 1}
    assert manager.get(path).status_code == 404
    with organization_scope(rich.id):
        actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {
        f"webhook_endpoint.{act}" for act in ("created", "changed", "rotated", "tested", "resent", "deleted")
    } <= actions


def test_slack_has_no_secret(manager: ApiClient) -> None:
    made = body(manager.post("/v1/webhook_endpoints", {**ENDPOINT, "kind": "slack"}))
    assert made["secret"] is None
    assert manager.post(f"/v1/webhook_endpoints/{made['id']}/rotate", {}).status_code == 409


@pytest.mark.parametrize("url", ["nonsense", "https://user:pw@hooks.example/", "ftp://hooks.example/", "https://x:0/"])
def test_an_address_that_cannot_be_called_is_refused(manager: ApiClient, url: str) -> None:
    answer = manager.post("/v1/webhook_endpoints", {**ENDPOINT, "url": url})
    assert answer.status_code == 422
    assert "url" in body(answer)["errors"]


def test_scopes(rich: Organization) -> None:
    reader = manager_of(rich, Permission.ALERTS_VIEW)
    assert reader.get("/v1/alerts").status_code == 200
    assert reader.patch("/v1/alert_settings", {"levels": [50]}).status_code == 403
    assert reader.get("/v1/webhook_endpoints").status_code == 403


def test_the_page_s_example_in_the_docs_verifies(manager: ApiClient, rich: Organization) -> None:
    """docs/alerts.md shows receivers how to check a signature: that code is run here as it stands there."""
    text = (Path(settings.BASE_DIR) / "docs" / "alerts.md").read_text()
    example: dict[str, object] = {}
    exec(text.split("```python\n", 1)[1].split("```", 1)[0], example)
    with Receiver().running() as receiver:
        made = body(manager.post("/v1/webhook_endpoints", {"name": "ERP", "url": receiver.url}))
        ring(rich)
        assert send_due_webhooks() == 1
        (call,) = receiver.received
    is_genuine = example["is_genuine"]
    header = call.headers["Tokensight-Signature"]
    assert is_genuine(made["secret"], header, call.body)  # type: ignore[operator]
    assert not is_genuine(made["secret"], header, call.body + b" ")  # type: ignore[operator]
    assert not is_genuine("tsw_other", header, call.body)  # type: ignore[operator]
    old = header.replace(header.split(",")[0], "t=1")
    assert not is_genuine(made["secret"], old, call.body)  # type: ignore[operator]
