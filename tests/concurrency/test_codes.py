"""Codes used by many at once, each on a connection of its own: no use is spent twice, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from billing.codes import hash_code, read_code
from billing.enums import CodeBenefit
from billing.errors import CodeError
from billing.gateways.stripe.checkout import CheckoutSession
from billing.models import Code, CodeRedemption, Grant
from billing.queries.balances import organization_balance
from billing.services import codes as service
from billing.services.code_purchases import reserve_code
from billing.services.fulfilment import settle
from tenants.actors import user_actor
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.factories.billing import assert_ledger_clean, make_wallet
from tests.factories.codes import assert_codes_clean, make_code_set, uses
from tests.factories.payments import make_payment, session_of
from tests.factories.tenants import make_organization

pytestmark = [pytest.mark.concurrency, pytest.mark.usefixtures("committed_db")]
MANY = 36


def organizations(count: int) -> list[Organization]:
    found = [make_organization() for _ in range(count)]
    for organization in found:
        make_wallet(organization)
    return found


def redeem(organization: Organization, code: str, key: str = "") -> Callable[[], str]:
    actor = user_actor(new_id(), "somebody@people.example")

    def run() -> str:
        try:
            service.redeem_code(
                organization_id=organization.id,
                typed=code,
                actor=actor,
                idempotency_key=key or str(new_id()),
                now=timezone.now(),
            )
        except CodeError as error:
            return type(error).__name__
        return "redeemed"

    return run


def credited(found: list[Organization]) -> int:
    total = 0
    for organization in found:
        with organization_scope(organization.id):
            total += organization_balance(organization.id).available_mtok
    return total


def test_the_last_use_is_one_use_for_36_at_once() -> None:
    made, found = make_code_set(uses_per_code=5), organizations(MANY)
    for organization in found[:4]:
        assert redeem(organization, made.codes[0])() == "redeemed"
    assert race([redeem(one, made.codes[0]) for one in found[4:]]) == {"redeemed": 1, "CodeInvalid": MANY - 5}
    assert uses(made) == [5]
    assert credited(found) == 5 * 50_000
    assert_ledger_clean()
    assert_codes_clean()


def test_one_organization_uses_a_code_of_many_uses_once_however_many_ask() -> None:
    made, (alpha,) = make_code_set(uses_per_code=100), organizations(1)
    assert race([redeem(alpha, made.codes[0])] * MANY) == {"redeemed": 1, "CodeUsedBefore": MANY - 1}
    assert uses(made) == [1]
    assert credited([alpha]) == 50_000


def test_different_codes_of_a_set_are_one_offer_for_an_organization() -> None:
    """Each its own row, so their locks alone would let all of them pass."""
    made, (alpha,) = make_code_set(count=MANY, uses_per_organization=3), organizations(1)
    outcome = race([redeem(alpha, code) for code in made.codes])
    assert outcome == {"redeemed": 3, "CodeUsedBefore": MANY - 3}
    assert sum(uses(made)) == 3
    assert credited([alpha]) == 3 * 50_000
    assert_ledger_clean()


def test_the_same_form_sent_36_times_at_once_is_one_use() -> None:
    made, (alpha,) = make_code_set(uses_per_code=100, uses_per_organization=None), organizations(1)
    assert race([redeem(alpha, made.codes[0], key="form-1")] * MANY) == {"redeemed": MANY}
    assert uses(made) == [1]
    assert credited([alpha]) == 50_000


def test_codes_and_their_wallets_do_not_wait_in_a_circle() -> None:
    """Two sets, two organizations, every pair at once: the order of locks is the same for all."""
    first, second = (make_code_set(uses_per_code=100, uses_per_organization=None) for _ in range(2))
    found = organizations(2)
    runners = [redeem(one, made.codes[0]) for one in found for made in (first, second)] * 9
    assert race(runners) == {"redeemed": 36}
    assert credited(found) == 36 * 50_000
    assert_codes_clean()


def reserve(organization: Organization, code: str) -> Callable[[], str]:
    payment = make_payment(organization)
    actor = user_actor(new_id(), "somebody@people.example")

    def run() -> str:
        try:
            with organization_scope(organization.id):
                reserve_code(payment=payment, typed=code, actor=actor, now=timezone.now())
        except CodeError as error:
            return type(error).__name__
        return "reserved"

    return run


def test_the_last_use_is_promised_to_one_of_36_checkouts() -> None:
    made, found = make_code_set(benefit=CodeBenefit.BONUS_TOKENS), organizations(MANY)
    assert race([reserve(one, made.codes[0]) for one in found]) == {"reserved": 1, "CodeInvalid": MANY - 1}
    assert uses(made) == [1]


def test_paid_and_given_up_at_once_a_code_is_one_or_the_other() -> None:
    """News of a payment cross: whatever comes first, the use is counted once or free, and its Tokens come once."""
    made, (alpha,) = make_code_set(benefit=CodeBenefit.BONUS_TOKENS, uses_per_code=50), organizations(1)
    payment = make_payment(alpha)
    with organization_scope(alpha.id):
        reserve_code(payment=payment, typed=made.codes[0], actor=user_actor(new_id(), "x"), now=timezone.now())
        payment.refresh_from_db()
    paid = session_of(payment)
    expired = session_of(payment, status="expired", payment_status="unpaid", intent_status="")

    def hear(session: CheckoutSession) -> Callable[[], str]:
        return lambda: str(settle(session=session, now=timezone.now()).status)

    race([hear(paid), hear(expired)] * 8)
    assert credited([alpha]) == payment.tokens_mtok + 50_000
    with organization_scope(alpha.id):
        (redemption,) = CodeRedemption.objects.all()
    assert redemption.status == "redeemed"
    assert uses(made) == [0 if redemption.slot is None else 1]
    assert_ledger_clean()
    assert_codes_clean()


def naive(organization: Organization, code: str, all_have_looked: threading.Barrier) -> Callable[[], str]:
    """Redeem as one would without thinking: look, then count."""

    def run() -> str:
        with organization_scope(organization.id), platform_scope("test"):
            found = Code.objects.get(secret_hash=hash_code(read_code(code) or ""))
            if found.uses >= found.max_uses:
                return "CodeInvalid"
            all_have_looked.wait(timeout=60)
            Code.objects.filter(id=found.id).update(uses=found.uses + 1)
        return "redeemed"

    return run


def test_the_control_look_and_count_apart_spend_the_last_use_twice() -> None:
    made, found = make_code_set(), organizations(8)
    all_have_looked = threading.Barrier(8)
    assert race([naive(one, made.codes[0], all_have_looked) for one in found]) == {"redeemed": 8}


def test_the_control_without_the_turn_one_number_is_taken_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why uses of a set are numbered in turn; behind that stands the constraint, which only one of them passes."""
    monkeypatch.setattr(service, "_ONE_AT_A_TIME", "SELECT %s, %s")
    made, (alpha,) = make_code_set(count=4), organizations(1)
    all_have_a_number, credit = threading.Barrier(4), service.grant_of_code

    def credit_once_all_have_a_number(**values: Any) -> Grant:
        all_have_a_number.wait(timeout=60)
        return credit(**values)

    monkeypatch.setattr(service, "grant_of_code", credit_once_all_have_a_number)

    def run(code: str) -> Callable[[], str]:
        def attempt() -> str:
            try:
                return redeem(alpha, code)()
            except Exception as error:
                return type(error).__name__

        return attempt

    assert race([run(code) for code in made.codes]) == {"redeemed": 1, "IntegrityError": 3}
    assert sum(uses(made)) == 1
    assert credited([alpha]) == 50_000


# Redeems, and stops for ever where the use is counted and the Tokens are credited, but nothing is committed.
DIES = """
import os, sys, time
import django
django.setup()
from django.utils import timezone
from billing.services import codes
from tenants.actors import user_actor
from tenants.services import audit

def stop(**facts):
    print("credited", flush=True)
    time.sleep(600)

audit.record = stop
codes.redeem_code(organization_id=sys.argv[1], typed=sys.argv[2], actor=user_actor(sys.argv[1], "x"),
                  idempotency_key="form-1", now=timezone.now())
"""


def test_a_process_that_dies_between_use_and_credit_leaves_the_code_free() -> None:
    made, (alpha,) = make_code_set(), organizations(1)
    name = connections["default"].settings_dict["NAME"]
    url = os.environ["DATABASE_URL"]
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "portal.settings", "DATABASE_URL": _renamed(url, name)}
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(alpha.id), made.codes[0]],
        cwd=Path(settings.BASE_DIR),
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "credited\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # The next one waits for the lock until the server has noticed.
    assert redeem(alpha, made.codes[0], key="form-1")() == "redeemed"
    assert uses(made) == [1]
    assert credited([alpha]) == 50_000
    with organization_scope(alpha.id):
        assert CodeRedemption.objects.count() == 1
    assert_ledger_clean()


def _renamed(url: str, name: str) -> str:
    """Return a database's address with another database's name."""
    address, mark, query = url.partition("?")
    return f"{address.rpartition('/')[0]}/{name}{mark}{query}"
