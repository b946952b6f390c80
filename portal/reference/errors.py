"""What each code of an error means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.api.problems import STATUS_OF_CODE

ADVICE: dict[str, Promise] = {
    "invalid_request": _(
        "The request cannot be read. Check the JSON, the form or the query; the detail names the place."
    ),
    "invalid_image": _("The bytes are no whole JPEG, PNG, WebP or BMP. Send the file as it is, not as text."),
    "image_too_large_to_decode": _("The image has more than 50 million pixels. Scale it down before sending."),
    "missing_token": _("Send the secret as Authorization: Bearer … or as X-Auth-Token."),
    "invalid_token": _("No such secret. Check that it was copied whole, and that it belongs to this server."),
    "expired_token": _("The credential is past its end. Extend it, or make a new one."),
    "revoked_token": _("The credential was revoked, for good. Use another one."),
    "suspended_token": _("The sub-token is suspended. It works again once somebody resumes it."),
    "organization_frozen": _("The operator froze the organization. The console says why; write to the operator."),
    "model_not_allowed": _(
        "The sub-token or the plan does not allow this model. Choose another, or change the policy."
    ),
    "task_not_allowed": _("The sub-token does not allow this task. Change its policy."),
    "ip_not_allowed": _("The call comes from an address that the allow-list lacks. Add the address of your network."),
    "insufficient_scope": _(
        "The credential is of the wrong kind, or the management key lacks the scope. Use another key."
    ),
    "organization_closing": _("The organization is being deleted. An owner can undo that until its day comes."),
    "debt_outstanding": _("Tokens were spent whose money went back. Top up: the next purchase settles the debt first."),
    "not_found": _("It does not exist, or it is not yours to see. Check the id and the credential."),
    "method_not_allowed": _("The address takes other methods; the header Allow lists them."),
    "not_acceptable": _("Only JSON can be answered here. Leave the header Accept out, or allow application/json."),
    "conflict": _("Something changed meanwhile, or the same request is still under way. Read again, then repeat."),
    "refund_refused": _("The payment cannot be refunded; the member reason says why."),
    "code_not_applicable": _("The code is real, but not for this purchase or this organization."),
    "payload_too_large": _("The body is larger than allowed: 20 MB for an image. Send less."),
    "unsupported_media_type": _("Send JSON, a form with a file, or the image with its own Content-Type."),
    "validation_error": _("Some members are wrong; errors names each and says why. Correct them, and send again."),
    "idempotency_mismatch": _("The Idempotency-Key was used with another body. Take a new key for a new request."),
    "code_mistyped": _("The code has a typing error. Compare it letter by letter."),
    "code_invalid": _("The code does not exist, is used up or is over."),
    "rate_limited": _("Too many requests. Wait as long as Retry-After says, then repeat."),
    "concurrency_limited": _("Too many calls at a time. Wait for one to end, or as long as Retry-After says."),
    "insufficient_tokens": _(
        "Too few Tokens are left. Top up at top_up_url, or give the sub-token more; waiting does not help."
    ),
    "quota_exceeded": _("A quota or a limit is used up. With resets_at wait until then; without it, have it raised."),
    "hourly_limit_exceeded": _("The Tokens of this hour are used. Wait until resets_at, or take a higher plan."),
    "payment_failed": _("The payment was declined and nothing was credited. Try another card."),
    "internal_error": _(
        "Our fault, and recorded. Repeat with the same Idempotency-Key; tell us the request_id if it stays."
    ),
    "gateway_refused": _("The payment service refused what it was asked. Nothing was charged; the detail says more."),
    "gateway_away": _("The payment service does not answer. Repeat with the same Idempotency-Key in a minute."),
    "payments_unavailable": _("Buying is not set up on this server. Ask its operator."),
    "model_not_installed": _("No worker has the model's file. Choose another model, or tell the operator."),
    "model_loading": _("The model is being loaded; nothing is charged. Repeat after Retry-After."),
    "no_capacity": _("No worker is there; nothing is charged. Repeat later, or send Prefer: respond-async."),
    "service_unavailable": _(
        "The database does not answer just now. Repeat after Retry-After, with the same Idempotency-Key."
    ),
}


@dataclass(frozen=True)
class Error:
    code: str
    status: int
    advice: Promise


def errors() -> list[Error]:
    """Return every code that the API answers with, by status."""
    found = [Error(code, status, ADVICE[code]) for code, status in STATUS_OF_CODE.items()]
    return sorted(found, key=lambda error: error.status)
