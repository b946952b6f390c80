"""Making codes: terms that fit, what is stored of them, and the command on the machine."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from billing.enums import CodeBenefit
from billing.errors import (
    CodeInvalid,
    CodesMade,
    CodeTermsInvalid,
)
from billing.models import Code, CodeRedemption, CodeSet
from tenants.actors import Actor, user_actor
from tenants.models import Organization, User
from tenants.scope import organization_scope, platform_scope
from tests.billing.test_codes import redeem
from tests.factories.billing import make_wallet
from tests.factories.codes import make_code, make_code_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def actor(alice: User) -> Actor:
    return user_actor(alice.id, alice.email)


@pytest.fixture(autouse=True)
def _wallets(alpha: Organization, beta: Organization) -> None:
    make_wallet(alpha)
    make_wallet(beta)


@pytest.mark.parametrize(
    ("field", "terms"),
    [
        ("name", {"name": "  "}),
        ("tokens", {"tokens_mtok": 0}),
        ("tokens", {"tokens_mtok": 1, "percent": 5}),
        ("tokens", {"benefit": CodeBenefit.BONUS_TOKENS, "tokens_mtok": None}),
        ("percent", {"benefit": CodeBenefit.DISCOUNT_PERCENT, "percent": 91}),
        ("percent", {"benefit": CodeBenefit.DISCOUNT_PERCENT, "percent": 0}),
        ("percent", {"benefit": CodeBenefit.BONUS_PERCENT, "tokens_mtok": 1}),
        ("first_purchase_only", {"first_purchase_only": True}),
        ("count", {"count": 0}),
        ("count", {"count": 10_001}),
        ("uses_per_code", {"uses_per_code": 0}),
        ("uses_per_organization", {"uses_per_organization": 0}),
        ("valid_days", {"valid_days": 0}),
        ("expires_at", {"expires_at": timezone.now() - timedelta(seconds=1)}),
    ],
)
def test_terms_that_do_not_fit_are_refused(field: str, terms: dict[str, Any]) -> None:
    with pytest.raises(CodeTermsInvalid) as refusal:
        make_code_set(**terms)
    assert refusal.value.field == field
    assert str(refusal.value)
    with platform_scope("test"):
        assert not CodeSet.objects.exists()


def test_a_set_is_made_once_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.factories.codes._numbers", iter([7, 7]))
    make_code_set(count=3)
    with pytest.raises(CodesMade):
        make_code_set(count=3)
    with platform_scope("test"):
        assert Code.objects.count() == 3


def test_what_is_stored_is_no_code(alpha: Organization, actor: Actor, caplog: pytest.LogCaptureFixture) -> None:
    made = make_code_set(count=12)
    groups = [(code, code.split("-")[2]) for code in made.codes]
    # Five digits of a hash can look like five characters of a code: only those that no hash has tell anything.
    telling = [(code, group) for code, group in groups if set(group) - set(string.hexdigits)]
    redeem(alpha, telling[0][0], actor)
    with platform_scope("test"), connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        readable = [name for name in tables if _may_read(cursor, name)]
        assert {"billing_code", "billing_codeset", "billing_coderedemption", "tenants_auditevent"} <= set(readable)
        rows = []
        for name in readable:
            cursor.execute(f"SELECT t::text FROM {name} t")
            rows += [text.upper() for (text,) in cursor.fetchall()]
    for _, second_group in telling:
        assert not [row for row in rows if second_group in row]
        assert second_group not in caplog.text


def _may_read(cursor: Any, name: str) -> bool:
    cursor.execute("SELECT has_table_privilege(%s, 'SELECT')", [name])
    return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("statement", ["SELECT 1 FROM billing_code", "UPDATE billing_codeset SET percent = 90"])
def test_the_role_of_the_web_sees_no_codes(alpha: Organization, statement: str) -> None:
    make_code()
    with organization_scope(alpha.id), pytest.raises(DatabaseError, match="permission denied"), transaction.atomic():
        connection.cursor().execute(statement)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda: Code.objects.update(uses=2),
        lambda: Code.objects.update(uses=-1),
        lambda: CodeSet.objects.update(percent=5),
        lambda: CodeSet.objects.update(benefit="bonus_percent", tokens_mtok=None, percent=1001),
        lambda: CodeRedemption.objects.update(grant=None),
        lambda: CodeRedemption.objects.update(status="released"),
    ],
)
def test_the_database_stands_behind_it(alpha: Organization, actor: Actor, break_it: Callable[[], object]) -> None:
    redeem(alpha, make_code(), actor)
    with platform_scope("test"), pytest.raises(DatabaseError), transaction.atomic():
        break_it()


def command(*words: str) -> tuple[str, str]:
    said, beside = StringIO(), StringIO()
    call_command("codes", *words, stdout=said, stderr=beside)
    return said.getvalue(), beside.getvalue()


def test_the_command_makes_lists_checks_and_ends(alpha: Organization, actor: Actor) -> None:
    made, beside = command(
        "make", "Fair", "--tokens", "2.5", "--count", "3", "--last-day", "2100-01-31", "--by", "sam", "--reason", "Fair"
    )
    heading, *codes = made.split()
    assert heading == "code"
    assert len(set(codes)) == 3
    redeem(alpha, codes[0], actor)
    assert "1 of 3" in command("list")[0]
    assert "Every code counts" in command("check")[0]
    command("make", "Less", "--discount-percent", "20", "--per-organization", "0", "--by", "sam", "--reason", "Fair")
    with platform_scope("test"):
        less = CodeSet.objects.get(name="Less")
        fair = CodeSet.objects.get(name="Fair")
    assert (less.benefit, less.percent, less.uses_per_organization) == ("discount_percent", 20, None)
    assert str(fair.id) in beside
    assert fair.expires_at
    assert fair.expires_at.isoformat() == "2100-02-01T00:00:00+00:00"
    assert "ended" in command("end", str(fair.id), "--by", "sam")[0]
    with pytest.raises(CodeInvalid):
        redeem(alpha, codes[1], actor)
    for wrong in (("--discount-percent", "91"), ("--tokens", "1", "--count", "0"), ("--tokens", "0")):
        with pytest.raises(CommandError):
            command("make", "Wrong", *wrong, "--by", "sam", "--reason", "Fair")


def test_a_miscounted_code_is_found(alpha: Organization, actor: Actor) -> None:
    redeem(alpha, make_code(), actor)
    with platform_scope("test"):
        Code.objects.update(uses=0)
    with pytest.raises(CommandError, match="1 codes are miscounted"):
        command("check")
