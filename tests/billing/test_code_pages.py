"""Codes on pages and over the API: redeemed by members who may, made and ended by staff."""

from __future__ import annotations

import csv
import re
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from billing.codes import new_code
from billing.enums import CodeBenefit
from billing.models import CodeGuess, CodeRedemption, CodeSet
from billing.queries.balances import organization_balance
from billing.services import code_guesses
from tenants.models import Organization, Role, User
from tenants.permissions import Permission
from tenants.scope import organization_scope, platform_scope
from tests.api_client import body, manager_of
from tests.factories.billing import make_wallet
from tests.factories.codes import make_code, make_code_set, uses
from tests.factories.second_factors import give_app
from tests.factories.tenants import make_membership, make_user

pytestmark = pytest.mark.django_db

REASON = "Vouchers for the fair in Ulm"


@pytest.fixture(autouse=True)
def _wallet(alpha: Organization) -> None:
    make_wallet(alpha)


@pytest.fixture
def member(client: Client, alice: User) -> Client:
    client.force_login(alice)
    return client


@pytest.fixture
def staff(db: None) -> Client:
    sam = make_user("sam@tokensight.example", is_staff=True)
    give_app(sam)
    browser = Client()
    browser.force_login(sam)
    return browser


def available(organization: Organization) -> int:
    with organization_scope(organization.id):
        return organization_balance(organization.id).available_mtok


def test_a_member_redeems_a_code(member: Client, alpha: Organization) -> None:
    code = make_code(tokens_mtok=12_500)
    page = member.get("/o/alpha/billing/redeem/").content.decode()
    assert "No code used yet" in page
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    for _ in range(2):  # sent twice
        done = member.post("/o/alpha/billing/redeem/", {"code": f" {code.lower()} ", "key": key[1]}, follow=True)
    text = done.content.decode()
    assert "12.5 Tokens were credited." in text
    assert code[:9] in text
    assert code not in text
    assert available(alpha) == 12_500


def test_what_is_wrong_with_a_code_is_said_at_its_field(member: Client, alpha: Organization) -> None:
    promotion = make_code(benefit=CodeBenefit.BONUS_PERCENT, percent=10)
    slip = new_code()[:-1] + "*"
    for code, said in ((new_code(), "unknown, has expired or was used up"), (slip, "a character is wrong"),
                       (promotion, "counts when you buy"), ("", "This field is required")):  # fmt: skip
        page = member.post("/o/alpha/billing/redeem/", {"code": code, "key": str(uuid4())})
        assert page.status_code == HTTPStatus.OK
        assert said in page.content.decode()
    with organization_scope(alpha.id):
        assert CodeGuess.objects.count() == 1, "what is unknown is a guess, the others are none"
        assert not CodeRedemption.objects.exists()
    for _ in range(code_guesses.OF_A_PERSON - 1):
        member.post("/o/alpha/billing/redeem/", {"code": new_code(), "key": str(uuid4())})
    page = member.post("/o/alpha/billing/redeem/", {"code": make_code(), "key": str(uuid4())})
    assert "Too many codes were tried" in page.content.decode()
    assert available(alpha) == 0


def test_a_developer_may_not_redeem(client: Client, bob: User) -> None:
    client.force_login(bob)
    assert client.get("/o/alpha/billing/redeem/").status_code == HTTPStatus.FORBIDDEN


def test_who_manages_money_may(client: Client, alpha: Organization) -> None:
    client.force_login(make_membership(alpha, role=Role.BILLING).user)
    assert client.get("/o/alpha/billing/redeem/").status_code == HTTPStatus.OK


def test_a_code_is_redeemed_over_the_api_once_per_key(alpha: Organization) -> None:
    made = make_code_set(uses_per_code=3, uses_per_organization=3, tokens_mtok=5_625)
    manager = manager_of(alpha, Permission.BILLING_MANAGE)
    first = manager.post("/v1/redeem", {"code": made.codes[0]}, Idempotency_Key="once")
    again = manager.post("/v1/redeem", {"code": made.codes[0]}, Idempotency_Key="once")
    assert first.status_code == again.status_code == HTTPStatus.OK
    assert body(first) == body(again)
    assert str(body(first)["tokens"]) == "5.625"
    assert body(first)["code"] == made.codes[0][:9]
    assert uses(made) == [1]
    assert available(alpha) == 5_625


def test_the_api_says_what_is_wrong(alpha: Organization, beta: Organization) -> None:
    make_wallet(beta)
    manager = manager_of(alpha)
    used = make_code()
    manager.post("/v1/redeem", {"code": used})
    promotion = make_code(benefit=CodeBenefit.BONUS_PERCENT, percent=10)
    for sent, status, code, reason in (
        (new_code(), 422, "code_invalid", None),
        ("TSC-AAAAA", 422, "code_mistyped", None),
        (used, 409, "code_not_applicable", "used_before"),
        (promotion, 409, "code_not_applicable", "needs_purchase"),
    ):
        answer = body(manager.post("/v1/redeem", {"code": sent}))
        assert (answer["status"], answer["code"], answer.get("reason")) == (status, code, reason)
        assert sent not in str(answer)
    answer = body(manager_of(beta).post("/v1/redeem", {"code": used}))
    assert answer["code"] == "code_invalid", "to others it is just not there"
    for wrong in ({}, {"code": ""}, {"code": 7.5}, {"code": "A" * 100}, {"code": None}):
        assert manager.post("/v1/redeem", wrong).status_code == HTTPStatus.UNPROCESSABLE_ENTITY


def test_guesses_over_the_api_are_counted_though_all_else_is_rolled_back(alpha: Organization) -> None:
    manager = manager_of(alpha)
    for _ in range(code_guesses.OF_A_PERSON):
        assert body(manager.post("/v1/redeem", {"code": new_code()}))["code"] == "code_invalid"
    refused = manager.post("/v1/redeem", {"code": make_code()}, Idempotency_Key="good")
    assert body(refused)["code"] == "rate_limited"
    assert 3500 < int(refused["Retry-After"]) <= 3600
    assert "top_up_url" not in body(refused)
    assert available(alpha) == 0


# --- Staff -----------------------------------------------------------------------------------------------------------
def make(staff: Client, **fields: Any) -> tuple[str, str, dict[str, Any]]:
    page = staff.get("/staff/codes/new/").content.decode()
    key = re.search(r'name="key" value="([^"]+)"', page)
    assert key
    form = {"name": "Fair", "benefit": "tokens", "tokens": "50", "count": "3", "uses_per_code": "1",
            "uses_per_organization": "1", "reason": REASON, "key": key[1], **fields}  # fmt: skip
    numbers = staff.post("/staff/codes/new/", form)
    done = staff.post("/staff/codes/new/", {**form, "confirmed": "1"})
    return numbers.content.decode(), done.content.decode(), form


def codes_in(page: str) -> list[str]:
    text = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert text
    return [row["code"] for row in csv.DictReader(text[1].strip().splitlines())]


def test_staff_make_codes_after_they_saw_what_these_may_cost(
    staff: Client, member: Client, alpha: Organization
) -> None:
    numbers, done, form = make(staff, last_day="2100-01-31", valid_days="30")
    assert "3 codes are made." in numbers
    assert "At most 150 Tokens are given away." in numbers
    assert "TSC-" not in numbers
    codes = codes_in(done)
    assert len(set(codes)) == 3
    again = staff.post("/staff/codes/new/", {**form, "confirmed": "1"}, follow=True).content.decode()
    assert "These codes were made already" in again
    assert codes[0] not in again
    member.post("/o/alpha/billing/redeem/", {"code": codes[1], "key": str(uuid4())})
    assert available(alpha) == 50_000
    with platform_scope("test"):
        made = CodeSet.objects.get()
    assert (made.made_by, made.reason) == ("sam@tokensight.example", REASON)
    assert "1 of 3" in staff.get("/staff/codes/").content.decode()
    page = staff.get(f"/staff/codes/{made.id}/").content.decode()
    for word in ("Alpha", "1 of 3", REASON, codes[1][:9]):
        assert word in page
    lines = b"".join(staff.get(f"/staff/codes/{made.id}/codes.csv")).decode()
    assert lines.count("\n") == 4
    for code in codes:
        assert code not in page + lines


def test_staff_are_told_what_does_not_fit(staff: Client) -> None:
    for fields, said in (
        ({"tokens": ""}, "Say how many Tokens a use gives"),
        ({"benefit": "discount_percent", "tokens": "", "percent": "95"}, "Say a percent from 1 to 90"),
        ({"last_day": "2020-01-01"}, "Codes must end in the future."),
        ({"count": "10001"}, "less than or equal to 10000"),
        ({"reason": "short"}, "is-invalid"),
    ):
        numbers, done, _ = make(staff, **fields)
        assert said in numbers
        assert "confirmed" not in numbers
        assert "TSC-" not in done
    with platform_scope("test"):
        assert not CodeSet.objects.exists()


def test_staff_end_one_code_or_the_whole_set_by_its_name(staff: Client, member: Client, alpha: Organization) -> None:
    made = make_code_set(count=2, uses_per_organization=None, name="Fair")
    with platform_scope("test"):
        first = made.code_set.codes.order_by("id").first()
    assert first
    path = f"/staff/codes/{made.code_set.id}/end/"
    staff.post(path, {"code": str(first.id)})
    member.post("/o/alpha/billing/redeem/", {"code": made.codes[0], "key": str(uuid4())})
    assert available(alpha) == 0
    assert "nothing was ended" in staff.post(path, {"confirm_name": "Fare"}, follow=True).content.decode()
    member.post("/o/alpha/billing/redeem/", {"code": made.codes[1], "key": str(uuid4())})
    assert available(alpha) == 50_000
    assert (
        "No code of this set works any more."
        in staff.post(path, {"confirm_name": "Fair"}, follow=True).content.decode()
    )
    with platform_scope("test"):
        assert CodeSet.objects.get().ended_by == "sam@tokensight.example"
    assert staff.post(f"/staff/codes/{uuid4()}/end/", {"confirm_name": "Fair"}).status_code == HTTPStatus.NOT_FOUND
    assert staff.get(f"/staff/codes/{uuid4()}/").status_code == HTTPStatus.NOT_FOUND
