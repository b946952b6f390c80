"""The scheduler's part in this room, by the names that it is asked for: thin doors to what does the work."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from billing.gateways.stripe import payments_enabled
from billing.services import (
    alerts,
    auto_top_ups,
    crossings,
    digests,
    reconciliation,
    refund_rounds,
    stripe_events,
    unusual,
    webhooks,
)
from billing.services.boosts import end_refunded_boosts
from billing.services.code_guesses import forget_guesses
from billing.services.code_purchases import release_forgotten
from billing.services.expiring import warn_of_expiring_grants
from billing.services.plan_rounds import keep_paid_plans
from billing.services.reminders import remind_of_ends
from billing.services.subscriptions import begin_due_periods, keep_ceilings
from tenants.beside import Beside, stopping

# Several at once, because each call waits for a stranger's server.
LANES = 4

_calls = [Beside(f"webhooks-{lane}", lambda: webhooks.send_due_webhooks(stop=stopping.is_set)) for lane in range(LANES)]
_events = [
    Beside(f"stripe-events-{lane}", lambda: stripe_events.process_due_events(stop=stopping.is_set))
    for lane in range(LANES)
]
_reconcile = Beside("reconcile-payments", lambda: reconciliation.reconcile_payments(now=timezone.now()))
_paid_plans = Beside("paid-plans", lambda: keep_paid_plans(now=timezone.now()))
_charging = Beside("auto-top-ups", lambda: auto_top_ups.run_auto_top_ups(stop=stopping.is_set))
_refunds = Beside("refunds", lambda: refund_rounds.finish_refunds(stop=stopping.is_set))
_look = Beside("unusual-burn", lambda: unusual.notice_unusual_burn(now=timezone.now()))


@shared_task(name="billing.raise_crossings")
def raise_crossings() -> None:
    """Every two seconds: make alerts of the levels that were reached."""
    crossings.raise_crossings(now=timezone.now())


@shared_task(name="billing.remind_of_ends")
def remind_of_sub_tokens_that_end() -> None:
    """Every minute: remind people of sub-tokens that end soon."""
    remind_of_ends(now=timezone.now())


@shared_task(name="billing.send_webhooks")
def send_webhooks() -> None:
    """Every few seconds, and when an event was queued: call the endpoints for what is due, beside the scheduler."""
    if webhooks.is_webhook_due(timezone.now()):
        for lane in _calls:
            lane.start()


@shared_task(name="billing.process_stripe_events")
def process_stripe_events() -> None:
    """Every few seconds, and when an event came in: make of what Stripe told what it means, beside the scheduler."""
    if stripe_events.is_event_due(timezone.now()):
        for lane in _events:
            lane.start()


@shared_task(name="billing.reconcile_payments")
def reconcile_payments() -> None:
    """Every night: compare Stripe's payments with the ledger, beside the scheduler."""
    if payments_enabled():
        _reconcile.start()


@shared_task(name="billing.finish_refunds")
def finish_refunds() -> None:
    """Every few seconds: go on with refunds and disputes that are due, beside the scheduler."""
    if refund_rounds.is_refund_due(timezone.now()):
        _refunds.start()


@shared_task(name="billing.forget_stripe_events")
def forget_stripe_events() -> None:
    """Every night: delete the events of long ago."""
    stripe_events.forget_old_events(timezone.now())
    reconciliation.forget_old_runs(timezone.now())


@shared_task(name="billing.send_digests")
def send_digests() -> None:
    """Every minute: queue the digests whose hour has come."""
    digests.send_digests(now=timezone.now())


@shared_task(name="billing.notice_unusual_burn")
def notice_unusual_burn() -> None:
    """Every few minutes: look for unusual burn, beside the scheduler."""
    _look.start()


@shared_task(name="billing.run_auto_top_ups")
def run_automatic_top_ups() -> None:
    """Every two seconds: charge what spending has made due, beside the scheduler, because Stripe is waited for."""
    if auto_top_ups.is_auto_top_up_due(timezone.now()):
        _charging.start()


@shared_task(name="billing.sweep_codes")
def sweep_codes() -> None:
    """Every ten minutes: free the codes of payments that nobody could pay, and forget old guesses."""
    release_forgotten(now=timezone.now())
    forget_guesses(now=timezone.now())


@shared_task(name="billing.forget_alerts")
def forget_alerts() -> None:
    """Every night: delete the alerts and the webhook deliveries of long ago."""
    webhooks.forget_old_deliveries(timezone.now())
    alerts.forget_old_alerts(timezone.now())


@shared_task(name="billing.warn_of_expiring_grants")
def warn_of_grants_that_expire() -> None:
    """Every ten minutes: tell people of grants that expire within a week."""
    warn_of_expiring_grants(now=timezone.now())


@shared_task(name="billing.keep_plans")
def keep_plans() -> None:
    """Every half minute: begin the months of plans that cost nothing, write changed ceilings where they act, and end
    boosts that were paid back."""
    now = timezone.now()
    begin_due_periods(now=now)
    keep_ceilings(now=now)
    end_refunded_boosts(now=now)
    _paid_plans.start()
