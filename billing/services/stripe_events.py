"""What Stripe tells of: stored as it came, then processed, each event's effect once.

`receive` is all that the webhook does. `process_due_events` takes what waits, asks Stripe how things are now, and
commits the effect together with the mark that the event is processed: a process that dies in between leaves both
undone. What fails is tried again later and, after three days, left for staff.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from celery import current_app
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as BrokerAway
from psycopg.types.json import Jsonb

from billing.enums import EventStatus
from billing.errors import PaymentError
from billing.gateways.stripe import checkout, intents
from billing.gateways.stripe.client import livemode, payments_enabled, reference
from billing.gateways.stripe.events import IncomingEvent, read_payload, without_client_secrets
from billing.gateways.stripe.invoices import subscription_of
from billing.models import StripeEvent
from billing.services import plan_settling
from billing.services.auto_top_ups import hear_of_intent
from billing.services.cards import save_card
from billing.services.fulfilment import settle
from billing.services.refund_events import charge_refunded_event, dispute_event, refund_event
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.models import Organization
from tenants.scope import platform_scope
from tenants.secrets import without_secrets
from tenants.services import audit

log = structlog.get_logger(__name__)

TASK = "billing.process_stripe_events"
# Who has an event in hand has it alone for so long; longer than Stripe keeps one waiting.
LEASE = timedelta(seconds=60)
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=10), timedelta(hours=6)
# With these waits, three days.
MOST_ATTEMPTS = 18
EVENTS_AT_ONCE = 500

# What is done inside the transaction that marks the event; None: nothing is to be done.
Effect = Callable[[datetime], Any]
Handler = Callable[[IncomingEvent], Effect | None]

INSERT = """
INSERT INTO billing_stripeevent (id, event_id, type, api_version, livemode, account, payload, happened_at, received_at,
    status, attempts, next_try_at, last_error, acts)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'received', 0, %s, '', '[]') ON CONFLICT (event_id) DO NOTHING
"""


def _checkout_session(event: IncomingEvent) -> Effect | None:
    found = event.payload["data"]["object"]
    handler = BY_MODE.get(found.get("mode"))
    return handler(event) if handler else None


def _paid_session(event: IncomingEvent) -> Effect | None:
    found = event.payload["data"]["object"]
    # Somebody else's session on the same account of Stripe's.
    if not (found.get("metadata") or {}).get("payment"):
        return None
    session = checkout.session(found["id"])
    return lambda now: settle(session=session, now=now)


def _plan_session(event: IncomingEvent) -> Effect | None:
    return _plan_of(reference(event.payload["data"]["object"].get("subscription")))


def _subscription(event: IncomingEvent) -> Effect | None:
    return _plan_of(reference(event.payload["data"]["object"]))


def _invoice(event: IncomingEvent) -> Effect | None:
    return _plan_of(subscription_of(event.payload["data"]["object"]))


def _plan_of(subscription_id: str) -> Effect | None:
    if not subscription_id:
        return None
    seen = plan_settling.look(subscription_id)
    return lambda now: plan_settling.settle(seen, now=now)


def _setup_session(event: IncomingEvent) -> Effect | None:
    found = event.payload["data"]["object"]
    if not (found.get("metadata") or {}).get("organization"):
        return None
    # Asks Stripe and writes: once done, doing it again changes nothing.
    return _nothing if save_card(session_id=found["id"], now=timezone.now()) else None


def _automatic_intent(event: IncomingEvent) -> Effect | None:
    found = event.payload["data"]["object"]
    if (found.get("metadata") or {}).get("kind") != intents.KIND:
        return None
    intent = intents.intent(found["id"])
    return lambda now: hear_of_intent(intent, now=now)


def _nothing(_now: datetime) -> None:
    """Stand for an effect that is committed already."""


# A session's mode -> what is made of news about it.
BY_MODE: Mapping[str, Handler] = {
    "payment": _paid_session,
    "subscription": _plan_session,
    "setup": _setup_session,
}
# An event's type -> what is made of it. A handler asks Stripe for the present state of the object: what the event says
# may be days old. It runs outside of any transaction; the effect that it returns runs inside of one.
HANDLERS: Mapping[str, Handler] = {
    "checkout.session.completed": _checkout_session,
    "checkout.session.async_payment_succeeded": _checkout_session,
    "checkout.session.async_payment_failed": _checkout_session,
    "checkout.session.expired": _checkout_session,
    "customer.subscription.created": _subscription,
    "customer.subscription.updated": _subscription,
    "customer.subscription.deleted": _subscription,
    "customer.subscription.pending_update_applied": _subscription,
    "customer.subscription.pending_update_expired": _subscription,
    "invoice.paid": _invoice,
    "invoice.payment_failed": _invoice,
    "invoice.payment_action_required": _invoice,
    "invoice.voided": _invoice,
    "invoice.marked_uncollectible": _invoice,
    "payment_intent.succeeded": _automatic_intent,
    "payment_intent.processing": _automatic_intent,
    "payment_intent.payment_failed": _automatic_intent,
    "refund.created": refund_event,
    "refund.updated": refund_event,
    "refund.failed": refund_event,
    "charge.refund.updated": refund_event,
    "charge.refunded": charge_refunded_event,
    "charge.dispute.created": dispute_event,
    "charge.dispute.updated": dispute_event,
    "charge.dispute.funds_withdrawn": dispute_event,
    "charge.dispute.funds_reinstated": dispute_event,
    "charge.dispute.closed": dispute_event,
}


def receive(*, event: IncomingEvent, now: datetime) -> bool:
    """Store an event as it came, but for secrets in it; return whether it is new. Nothing is made of it here.

    Through the platform's door. An event that was stored before is left as it is, whatever became of it.
    """
    values: list[Any] = [
        new_id(),
        event.id[:120],
        event.type[:80],
        event.api_version[:40],
        event.livemode,
        event.account[:64],
        Jsonb(without_client_secrets(event.payload)),
        event.created,
        now,
        now,
    ]
    with platform_scope("store an event of Stripe's"), connection.cursor() as cursor:
        cursor.execute(INSERT, values)
        new = cursor.rowcount == 1
        if new:
            transaction.on_commit(poke)
    return new


def process_due_events(
    *, clock: Callable[[], datetime] = timezone.now, stop: Callable[[], bool] = lambda: False
) -> int:
    """Process what is due, oldest first; return how many were finished.

    Through the platform's door; call it outside of a transaction. Any number may run at once. What fails is due again
    after 10 s, 40 s, 160 s ... 6 h, eighteen times.
    """
    finished = 0
    for _ in range(EVENTS_AT_ONCE):
        event = None if stop() else _claim(clock())
        if event is None:
            break
        finished += process(event, clock=clock)
    return finished


def is_event_due(now: datetime) -> bool:
    """Return whether an event could be processed now. Through the platform's door."""
    with platform_scope("look for events of Stripe's"):
        return StripeEvent.objects.filter(next_try_at__lte=now).exists()


def process(event: StripeEvent, *, clock: Callable[[], datetime] = timezone.now) -> bool:
    """Make of an event what its handler says, once; return whether it is finished. What it raises is kept with it."""
    try:
        incoming = read_payload(event.payload)
        why_not = _not_ours(incoming)
        handler = HANDLERS.get(incoming.type)
        effect = handler(incoming) if handler and not why_not else None
        _apply(event.id, effect, why_not, clock())
    except Exception as error:
        _put_off(event, error)
        return False
    return True


def run_again(*, event_id: UUID, reason: str, key: str, actor: Actor, now: datetime) -> bool:
    """Have an event that is not finished processed anew at once; return whether there was one. For staff.

    Once for each key: what was asked before is not asked again.

    Who had it done and why is kept with the event, and in the audit log of the organization that it is about. Through
    the platform's door.
    """
    with platform_scope("run an event of Stripe's again"):
        event = StripeEvent.objects.select_for_update().filter(id=event_id, finished_at=None).first()
        if event is None or any(act.get("key") == key for act in event.acts):
            return False
        event.attempts, event.next_try_at = 0, now
        event.acts = [*event.acts, {"at": now, "by": actor.name, "reason": without_secrets(reason), "key": key}]
        event.save(update_fields=["attempts", "next_try_at", "acts"])
        if organization_id := _organization_of(event):
            audit.record(
                organization_id=organization_id,
                actor=actor,
                action="payment_event.run_again",
                target_kind="stripe_event",
                target_id=event.id,
                after={"kind": event.type, "reference": event.event_id},
                reason=reason,
                now=now,
            )
        transaction.on_commit(poke)
    return True


def _organization_of(event: StripeEvent) -> UUID | None:
    """Return the organization that an event is about, as far as it is marked with one that exists."""
    found = (event.payload.get("data") or {}).get("object") or {}
    try:
        marked = UUID((found.get("metadata") or {}).get("organization", ""))
    except ValueError:
        return None
    return Organization.objects.filter(id=marked).values_list("id", flat=True).first()


def forget_old_events(now: datetime) -> int:
    """Delete finished events older than STRIPE_EVENTS_KEPT_DAYS, and return how many. Through the platform's door.

    What failed stays until somebody has looked at it.
    """
    before = now - timedelta(days=settings.STRIPE_EVENTS_KEPT_DAYS)
    with platform_scope("forget old events of Stripe's", patient=True):
        return StripeEvent.objects.filter(received_at__lt=before, finished_at__isnull=False).delete()[0]


def poke() -> None:
    """Ask the scheduler's process to look; without a broker it does so by itself seconds later."""
    try:
        current_app.send_task(TASK, queue="maintenance", ignore_result=True, retry=False, expires=60)
    except BrokerAway:
        log.warning("stripe_events_wait_for_the_clock")


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after so many attempts."""
    return min(FIRST_WAIT * 4 ** min(attempts - 1, 10), LONGEST_WAIT)


def _claim(now: datetime) -> StripeEvent | None:
    with platform_scope("process an event of Stripe's"):
        due = StripeEvent.objects.filter(next_try_at__lte=now).order_by("next_try_at", "id")
        event: StripeEvent | None = due.select_for_update(skip_locked=True).first()
        if event is not None:
            event.attempts += 1
            # Also if this process dies, and also if it dies of this event.
            event.next_try_at = now + max(LEASE, wait_after(event.attempts))
            event.save(update_fields=["attempts", "next_try_at"])
    return event


def _not_ours(event: IncomingEvent) -> str:
    """Return why an event is none that this server acts on; "" if it is."""
    if not payments_enabled():
        return "Buying is not set up on this server."
    if event.account:
        return "It is about another account."
    if event.livemode != livemode():
        return "It is about test money." if livemode() else "It is about real money, and this key is for tests."
    return ""


def _apply(event_id: UUID, effect: Effect | None, why_not: str, now: datetime) -> None:
    with transaction.atomic():
        with platform_scope("process an event of Stripe's"):
            row = StripeEvent.objects.select_for_update().get(id=event_id)
        if row.finished_at is not None:
            return
        if effect is not None:
            effect(now)
        row.status = EventStatus.IGNORED if effect is None else EventStatus.PROCESSED
        row.finished_at, row.next_try_at, row.last_error = now, None, why_not
        with platform_scope("process an event of Stripe's"):
            row.save(update_fields=["status", "finished_at", "next_try_at", "last_error"])


def _put_off(event: StripeEvent, error: Exception) -> None:
    """Keep that an event failed, and when it is tried again; staff see it from now on."""
    over = event.attempts >= MOST_ATTEMPTS
    # Errors of ours say what went wrong; others may quote what should not be read.
    said = f"{type(error).__name__}: {error}" if isinstance(error, PaymentError) else type(error).__name__
    log.warning(
        "stripe_event_failed",
        stripe_event=event.event_id,
        type=event.type,
        attempts=event.attempts,
        over=over,
        exc_info=error,
    )
    with platform_scope("an event of Stripe's failed"):
        # Unless somebody else has finished it, or has it in hand by now.
        StripeEvent.objects.filter(id=event.id, attempts=event.attempts, finished_at=None).update(
            status=EventStatus.FAILED,
            next_try_at=None if over else event.next_try_at,
            last_error=without_secrets(said)[:500],
        )
