"""Automatic top-ups with several schedulers, and with one that dies: the card is charged once, and the Tokens come."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.db import IntegrityError, connections
from django.utils import timezone

from billing.enums import PaymentStatus
from billing.gateways.stripe import intents
from billing.models import Account, BillingCustomer, Payment
from billing.queries.balances import organization_balance
from billing.services import auto_top_ups
from billing.services.auto_top_ups import run_auto_top_ups
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.concurrency.racing import race
from tests.factories.alerts import spend
from tests.factories.auto_top_ups import TOKENS, give_card, payments_of, row_of, turn_on
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.stripe_standin import SECRET_KEY, WEBHOOK_SECRET, StandIn, standin, stripe_server  # noqa: F401 fixtures

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]
SCHEDULERS = 8


@pytest.fixture
def wallet(alpha: Organization, standin: StandIn) -> Account:  # noqa: F811
    """Alpha's, with 50 Tokens where 100 should be: a purchase is due."""
    wallet = make_wallet(alpha, 150_000, now=timezone.now())
    give_card(alpha, standin)
    turn_on(alpha)
    spend(wallet, 100_000)
    return wallet


def available(organization: Organization) -> int:
    with organization_scope(organization.id):
        return organization_balance(organization.id).available_mtok


def charges(standin: StandIn) -> int:  # noqa: F811
    return len(standin.client().v1.charges.list({"limit": 100}).data)


def scheduler(after: timedelta = timedelta(seconds=1)) -> Callable[[], int]:
    return lambda: run_auto_top_ups(clock=lambda: timezone.now() + after)


def test_many_schedulers_at_once_charge_once(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,  # noqa: F811
) -> None:
    race([scheduler()] * SCHEDULERS)
    race([scheduler(timedelta(minutes=2))] * SCHEDULERS)
    assert charges(standin) == 1
    assert [payment.status for payment in payments_of(alpha)] == [PaymentStatus.PAID]
    assert available(alpha) == 50_000 + TOKENS
    assert row_of(alpha).status == "on"
    assert_ledger_clean()


def test_spending_and_buying_do_not_wait_in_a_circle(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,  # noqa: F811
) -> None:
    """Each locks the wallet and the settings, and spending does so by its trigger."""

    def spender() -> int:
        for _ in range(15):
            spend(wallet, 1_000)
        return 0

    race([spender] * 3 + [scheduler()] * 4)
    race([scheduler(timedelta(minutes=2))] * 4)
    assert charges(standin) == len(payments_of(alpha)) == 1
    assert available(alpha) == 50_000 + TOKENS - 45_000
    assert_ledger_clean()


def test_the_control_without_a_key_and_a_row_every_scheduler_charges(
    alpha: Organization,
    wallet: Account,
    standin: StandIn,  # noqa: F811
) -> None:
    """What each of them would do alone: look, and charge."""
    with organization_scope(alpha.id):
        customer = BillingCustomer.objects.get()

    def naive() -> str:
        if available(alpha) >= 100_000:
            return "enough"
        found = intents.charge_saved_card(
            payment_id=new_id(),
            organization_id=alpha.id,
            customer_id=customer.stripe_id,
            payment_method_id=customer.card_payment_method_id,
            amount_minor=1_000,
            currency="CNY",
            description="Tokens",
        )
        return found.payment_status

    assert race([naive] * 3) == {"paid": 3}
    assert charges(standin) == 3


def test_the_database_lets_no_second_automatic_payment_begin(alpha: Organization, wallet: Account) -> None:
    given = {"kind": "auto_topup", "tokens_mtok": 1, "amount_minor": 1, "currency": "CNY"}
    with organization_scope(alpha.id):
        Payment.objects.create(organization=alpha, **given)
    with pytest.raises(IntegrityError, match="payment_one_automatic_at_once"), organization_scope(alpha.id):
        Payment.objects.create(organization=alpha, status="processing", **given)


# Goes as far as it is told, says so, and waits to be killed.
DIES = """
import sys, time
import django
django.setup()
from datetime import timedelta
from django.utils import timezone
from billing.gateways.stripe import intents
from billing.services import auto_top_ups

def stop(*_, **__):
    print("there", flush=True)
    time.sleep(600)

ask = intents.charge_saved_card
if sys.argv[1] == "before the charge":
    intents.charge_saved_card = stop
else:
    intents.charge_saved_card = lambda **values: (ask(**values), stop())
auto_top_ups.run_auto_top_ups(clock=lambda: timezone.now() + timedelta(seconds=1))
"""


@pytest.mark.parametrize("where", ["before the charge", "after the charge"])
def test_a_scheduler_that_dies_leaves_no_second_charge_and_no_lost_one(
    where: str,
    alpha: Organization,
    wallet: Account,
    standin: StandIn,  # noqa: F811
) -> None:
    database = connections["default"].settings_dict["NAME"]
    address, mark, query = os.environ["DATABASE_URL"].partition("?")
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "DATABASE_URL": f"{address.rpartition('/')[0]}/{database}{mark}{query}",
        "STRIPE_SECRET_KEY": SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": standin.url,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, where],
        cwd=Path(configured.BASE_DIR),
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        while (line := process.stdout.readline()) != "there\n":
            assert line, "it ended by itself"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert available(alpha) == 50_000
    assert row_of(alpha).status == "waiting"
    assert scheduler()() == 0, "it may still be alive"
    race([scheduler(auto_top_ups.LEASE + timedelta(seconds=5))] * 4)
    assert charges(standin) == 1
    assert len(payments_of(alpha)) == 1
    assert available(alpha) == 50_000 + TOKENS
    assert_ledger_clean()
