"""Where Stripe tells of what happened. Nothing is believed that it did not sign."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.errors import EventUnreadable, SignatureInvalid
from billing.gateways.stripe import payments_enabled
from billing.gateways.stripe.events import read_event
from billing.services.stripe_events import receive

log = structlog.get_logger(__name__)

# Stripe's events have some kilobytes.
MOST_BYTES = 512_000


@csrf_exempt
@require_POST
def stripe_webhook(request: HttpRequest) -> HttpResponse:
    """Store an event that Stripe signed and answer 200: it is processed elsewhere.

    Whatever answers anything else is sent again by Stripe, for days: so only what is stored is answered 200, and what
    was stored before is, too.
    """
    if not payments_enabled():
        return _text("Buying is not set up on this server.", HTTPStatus.NOT_FOUND)
    # One more byte than may be tells a body that is too long, whatever its header says.
    body = request.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        return _text("The body is too large.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        event = read_event(body=body, signature=request.headers.get("Stripe-Signature", ""))
    except SignatureInvalid:
        log.warning("stripe_signature_invalid", bytes=len(body))
        return _text("The signature is not valid.", HTTPStatus.BAD_REQUEST)
    except EventUnreadable:
        log.warning("stripe_event_unreadable", bytes=len(body))
        return _text("This is no event.", HTTPStatus.BAD_REQUEST)
    new = receive(event=event, now=timezone.now())
    return _text("Stored." if new else "Stored before.", HTTPStatus.OK)


def _text(text: str, status: HTTPStatus) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain")
