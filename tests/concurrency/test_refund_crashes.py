"""A process that dies anywhere between taking Tokens and keeping what Stripe said loses neither Tokens nor money."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from billing.enums import RefundStatus
from billing.models import Refund
from billing.services.refund_rounds import finish_refunds
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.billing.refunds.buying import buy, failures, hear
from tests.billing.refunds.test_refunds import available
from tests.factories.billing import assert_ledger_clean
from tests.factories.payments import payment_now
from tests.stripe_standin import SECRET_KEY, WEBHOOK_SECRET, StandIn

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]

# Somebody who refunds, and is killed at a step.
DYING = """
import os, signal, sys, uuid
import django
django.setup()
from django.db import connections
from django.utils import timezone
connections["default"].settings_dict["NAME"] = sys.argv[1]
from billing.services import refund_news, refunds
from tenants.actors import PLATFORM

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

module, name = {"refunds": refunds, "refund_news": refund_news, "gateway": refunds.gateway, "audit": refunds.audit}[
    sys.argv[4]
], sys.argv[5]
setattr(module, name, die)
refunds.request_refund(
    organization_id=uuid.UUID(sys.argv[2]), payment_id=uuid.UUID(sys.argv[3]), mtok=400_000, reason="",
    actor=PLATFORM, idempotency_key="dying", now=timezone.now(),
)
"""
STEPS = {
    "while the Tokens are taken": ("audit", "record", False),
    "before Stripe is asked": ("gateway", "create_refund", True),
    "after Stripe was asked": ("refunds", "keep_refund", True),
    "while the answer is kept": ("refund_news", "settle_refund", True),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("heard", [False, True])
def test_killed(committed_db: None, standin: StandIn, alpha: Organization, step: str, heard: bool) -> None:
    payment = buy(standin, alpha, 1_000)
    module, name, reserved = STEPS[step]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "STRIPE_SECRET_KEY": SECRET_KEY,
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": standin.url,
    }
    database = connections["default"].settings_dict["NAME"]
    dead = subprocess.run(
        [sys.executable, "-c", DYING, database, str(alpha.id), str(payment.id), module, name],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert dead.returncode == -signal.SIGKILL, dead.stderr

    with organization_scope(alpha.id):
        assert Refund.objects.filter(status=RefundStatus.RESERVED).count() == int(reserved)
    assert available(alpha) == (600_000 if reserved else 1_000_000)
    if heard:
        # Stripe may tell of it before anybody looks again.
        hear(standin.events("refund.created", "charge.refunded"))
        assert failures() == []
    later = timezone.now() + timedelta(minutes=10)
    finish_refunds(clock=lambda: later)
    assert finish_refunds(clock=lambda: later + timedelta(days=2)) == 0
    with organization_scope(alpha.id):
        statuses = list(Refund.objects.values_list("status", flat=True))
    assert statuses == ([RefundStatus.SUCCEEDED] if reserved else [])
    sent = standin.client().v1.refunds.list({"payment_intent": payment.payment_intent_id}).data
    assert [refund.amount for refund in sent] == ([payment.total_minor * 400 // 1000] if reserved else [])
    assert payment_now(payment.id, alpha).refunded_minor == sum(refund.amount for refund in sent)
    assert available(alpha) == (600_000 if reserved else 1_000_000)
    assert_ledger_clean()
