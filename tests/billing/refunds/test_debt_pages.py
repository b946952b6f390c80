"""What is owed is on every page of the console, in the API and before staff, with what settles it."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import Debt
from tenants.models import Organization, User
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.factories.billing import assert_ledger_clean, make_grant, make_wallet
from tests.factories.debts import make_debt
from tests.portal.conftest import sam, staff  # noqa: F401 fixtures
from tests.portal.staffing import act, events

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_process")]


@pytest.fixture
def page(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


def test_every_page_says_that_calls_are_refused_until_the_debt_is_settled(page: Client, alpha: Organization) -> None:
    assert 'id="debt-banner"' not in page.get("/o/alpha/ledger/").content.decode()
    make_debt(alpha, 2_500)
    for path in ("", "ledger/", "teams/", "billing/refunds/"):
        content = page.get(f"/o/alpha/{path}").content.decode()
        assert 'id="debt-banner"' in content, path
        assert "owes 2.5 Tokens" in content


def test_what_is_owed_is_listed_with_its_cause_and_settled_from_the_wallet(page: Client, alpha: Organization) -> None:
    make_grant_later = make_debt(alpha, 2_500)
    content = page.get("/o/alpha/billing/refunds/").content.decode()
    assert "Lost dispute" in content
    assert make_grant_later.reference in content
    done = page.post("/o/alpha/billing/debt/settle/", follow=True).content.decode()
    assert "The wallet has no Tokens that were bought." in done
    # Bought before the debt came: nothing has settled it by itself.
    with organization_scope(alpha.id):
        Debt.objects.update(owed_mtok=1)
        make_grant(alpha, 900, now=timezone.now())
        Debt.objects.update(owed_mtok=2_500)
    done = page.post("/o/alpha/billing/debt/settle/", follow=True).content.decode()
    assert "0.899 Tokens of the debt are settled." in done
    assert "owes 1.6 Tokens" in done


def test_the_api_lists_debts_and_settles_them(alpha: Organization, beta: Organization) -> None:
    api, other = manager_of(alpha), manager_of(beta)
    assert body(api.get("/v1/debts"))["data"] == []
    assert api.post("/v1/debts/settle", {}).status_code == HTTPStatus.NOT_FOUND, "not even a wallet"
    make_wallet(beta)
    answer = other.post("/v1/debts/settle", {})
    assert (answer.status_code, body(answer)["detail"]) == (HTTPStatus.NOT_FOUND, "Nothing is owed.")
    make_debt(alpha, 2_500)
    (debt,) = body(api.get("/v1/debts"))["data"]
    assert (debt["cause"], debt["tokens"], debt["remaining_tokens"]) == ("dispute", 2.5, 2.5)
    assert body(api.get("/v1/balance"))["debt_tokens"] == 2.5
    refused = api.post("/v1/debts/settle", {})
    assert (refused.status_code, body(refused)["code"]) == (429, "insufficient_tokens")
    make_grant(alpha, 3_000, now=timezone.now())
    (debt,) = body(api.get("/v1/debts"))["data"]
    assert (debt["settled_tokens"], debt["remaining_tokens"]) == (2.5, 0)
    assert body(api.get("/v1/balance"))["available_tokens"] == 0.5
    assert body(other.get("/v1/debts"))["data"] == []
    assert body(other.get("/v1/balance"))["debt_tokens"] == 0


def test_staff_see_a_debt_and_forgive_it_for_a_reason(staff: Client, alpha: Organization) -> None:  # noqa: F811
    debt = make_debt(alpha, 2_500)
    seen = staff.get(f"/staff/organizations/{alpha.id}/").content.decode()
    assert "Lost dispute" in seen
    numbers, done = act(staff, alpha, "forgive-debt", debt.id)
    assert "2.5 Tokens are asked for no longer." in numbers
    assert "Calls of Alpha are accepted again." in numbers
    assert "2.5 Tokens are forgiven." in done
    (event,) = events(alpha, "debt.forgiven")
    assert (event.actor_name, event.after["mtok"]) == ("sam@tokensight.example", 2_500)
    path = f"/staff/organizations/{alpha.id}/acts/forgive-debt/{debt.id}/"
    again = staff.post(path, {"reason": "Once more, please", "key": str(debt.id)})
    assert "Nothing is left of this debt" in again.content.decode()
    assert_ledger_clean()


def test_an_outsider_neither_sees_nor_settles_nor_forgives(
    client: Client, charlie: User, alpha: Organization, beta: Organization
) -> None:
    debt = make_debt(alpha, 2_500)
    client.force_login(charlie)
    assert client.get("/o/alpha/billing/refunds/").status_code == HTTPStatus.NOT_FOUND
    assert client.post("/o/alpha/billing/debt/settle/").status_code == HTTPStatus.NOT_FOUND
    assert client.get(f"/staff/organizations/{alpha.id}/acts/forgive-debt/{debt.id}/").status_code in {302, 403, 404}
    assert 'id="debt-banner"' not in client.get("/o/beta/ledger/").content.decode()
