"""What is sold is the platform's: staff change it by a command, and the web cannot."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from billing.models import Package
from billing.queries.packages import packages_on_sale
from tenants.models import Organization
from tenants.scope import organization_scope

pytestmark = pytest.mark.django_db


def command(*words: str) -> str:
    said = StringIO()
    call_command("packages", *words, stdout=said)
    return said.getvalue()


def test_packages_are_there_from_the_start_in_both_currencies() -> None:
    assert {package.currency for package in packages_on_sale()} == {"CNY", "USD"}
    assert packages_on_sale("CNY").first() == Package.objects.get(name="Starter", currency="CNY")


def test_a_package_is_put_on_sale_changed_and_retired() -> None:
    said = command("set", "Demo", "USD", "--tokens", "12.5", "--price", "0.99", "--valid-days", "7")
    assert "0.99 USD  7 days" in said
    command("set", "Demo", "USD", "--tokens", "13", "--price", "1")
    package = packages_on_sale("USD").get(name="Demo")
    assert (package.tokens_mtok, package.price_minor, package.valid_days) == (13_000, 100, None)
    assert "(retired)" in command("retire", "Demo", "USD")
    assert not packages_on_sale().filter(name="Demo").exists()
    with pytest.raises(CommandError):
        command("retire", "Demo", "USD")


@pytest.mark.parametrize("price", ["-1", "0.001", "free", "NaN"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    with pytest.raises(CommandError):
        command("set", "Demo", "USD", "--tokens", "1", f"--price={price}")


def test_the_web_may_not_change_them(alpha: Organization) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), organization_scope(alpha.id):
        Package.objects.update(price_minor=1)
