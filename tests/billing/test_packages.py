"""What is sold is the platform's: staff change it by a command, and the web cannot."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, transaction

from billing.models import Package, TopUpTier
from billing.queries.packages import packages_on_sale
from billing.queries.top_ups import offer_of_amount
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


def test_prices_of_free_amounts_are_data() -> None:
    assert "10.00 CNY for 1,000  180 days" in command("list")
    command("tier", "CNY", "--from", "2000", "--price", "9.90")
    assert offer_of_amount(tokens_mtok=1_999_000, currency="CNY").amount_minor == 19_99
    offer = offer_of_amount(tokens_mtok=2_000_000, currency="CNY")
    assert (offer.amount_minor, offer.valid_days) == (19_80, None)
    command("drop-tier", "CNY", "--from", "2000")
    assert offer_of_amount(tokens_mtok=2_000_000, currency="CNY").amount_minor == 20_00
    for bad in (("--from", "0.5", "--price", "1"), ("--from", "0", "--price", "1"), ("--from", "9", "--price", "0")):
        with pytest.raises(CommandError):
            command("tier", "CNY", *bad)
    with pytest.raises(CommandError):
        command("drop-tier", "CNY", "--from", "2000")


def test_the_web_may_not_change_them(alpha: Organization) -> None:
    with pytest.raises(DatabaseError), transaction.atomic(), organization_scope(alpha.id):
        Package.objects.update(price_minor=1)
    with pytest.raises(DatabaseError), transaction.atomic(), organization_scope(alpha.id):
        TopUpTier.objects.update(minor_per_thousand=1)
