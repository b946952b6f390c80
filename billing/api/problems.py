"""What billing refuses, as callers are told."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response

from billing import errors
from billing.api.fields import tokens_number
from billing.services.code_guesses import note_guess
from tenants.api.management import ManagementView, management_credential
from tenants.api.problems import Problem
from tenants.errors import GraceOutOfRange, NotFound, TeamCycle, TeamNameTaken, TeamStays
from tenants.models import Organization
from tenants.scope import organization_scope


def top_up_url(organization_id: uuid.UUID) -> str:
    """Return the page on which an organization gets more Tokens. Opens its own scope."""
    with organization_scope(organization_id):
        slug = Organization.objects.values_list("slug", flat=True).get(id=organization_id)
    return f"{settings.BASE_URL}/o/{slug}/billing/top-up/"


class BillingView(ManagementView):
    """A view under a management key that answers billing's refusals."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer what billing and tenants refuse with their problems."""
        problem = as_problem(exc)
        if isinstance(exc, errors.CodeInvalid):
            # By now what the request did is rolled back.
            credential = management_credential(self.request)
            note_guess(organization_id=credential.organization_id, actor=credential.actor, now=timezone.now())
        if problem is None:
            return super().handle_exception(exc)
        if problem.code == "debt_outstanding" or (problem.status == 429 and problem.code != "rate_limited"):
            problem.extra["top_up_url"] = top_up_url(management_credential(self.request).organization_id)
        return super().handle_exception(problem)


def as_problem(error: Exception) -> Problem | None:
    """Return the problem that stands for a refusal, or None when it is no refusal of billing's."""
    match error:
        case errors.DebtOutstanding(owed_mtok=mtok):
            return Problem(
                "debt_outstanding",
                "The organization owes Tokens: settle that first.",
                debt_tokens=tokens_number(mtok),
            )
        case errors.RefundRefused(code=code):
            return Problem("refund_refused", str(error), reason=code)
        case errors.InsufficientTokens(available_mtok=mtok):
            return _too_little("insufficient_tokens", "There are not so many Tokens to move.", mtok)
        case errors.QuotaExceeded(available_mtok=mtok):
            return _too_little("quota_exceeded", "A quota on the way leaves less room.", mtok)
        case errors.SubTokenUnknown() | errors.AccountUnknown() | errors.TransferUnknown():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case NotFound():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case errors.DebtUnknown():
            return Problem("not_found", "Nothing is owed.")
        case errors.TeamUnknown():
            return invalid("team", "There is no such team.")
        case GraceOutOfRange():
            return invalid("grace_hours", str(error))
        case errors.TooMany():
            return invalid("ids", str(error))
        case errors.ExpiryOutOfRange():
            return invalid("expires_at", str(error))
        case errors.AmountInvalid():
            return invalid("tokens", str(error))
        case errors.IdempotencyMismatch():
            return Problem("idempotency_mismatch", str(error))
        case errors.GrantUnknown():
            return invalid("grant", str(error))
        case errors.DivisionInvalid():
            return invalid("parts", str(error))
        case errors.CapBelowDrawn(drawn_mtok=mtok):
            return Problem("conflict", "More was drawn already.", drawn_tokens=tokens_number(mtok))
        case errors.NoQuota() | errors.AccountClosed() | errors.AccountExpired() | errors.NotNested():
            return Problem("conflict", str(error))
        case errors.StateChanged() | errors.PoolMissing():
            return Problem("conflict", str(error))
        case errors.EndpointUnknown():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case errors.AddressRefused():
            return invalid("url", str(error))
        case errors.AlertSettingsInvalid():
            return invalid(error.field, str(error))
        case errors.TooManyEndpoints():
            return Problem("conflict", str(error))
        case errors.CodeError():
            return _code_problem(error)
        case errors.PlanUnknown():
            return invalid("plan", str(error))
        case errors.PlanNotForSale() | errors.PlanUnchanged() | errors.PlanBusy():
            return Problem("conflict", str(error))
        case errors.PaymentUnknown():
            return Problem("not_found", "There is nothing here, or it is not yours to see.")
        case errors.TopUpInvalid():
            return invalid(error.field, str(error))
        case errors.TooManyPayments() | errors.PaymentClosed() | errors.PaymentMismatch():
            return Problem("conflict", str(error))
        case errors.CardDeclined() | errors.AuthenticationRequired():
            return Problem("payment_failed", str(error))
        case errors.PaymentsUnavailable():
            return Problem("payments_unavailable", "Buying is not set up on this server. Ask its operator for Tokens.")
        case errors.GatewayAway():
            return Problem(
                "gateway_away",
                "The payment service does not answer. Nothing was charged; send the same again, with its key.",
                headers={"Retry-After": "5"},
            )
        case errors.GatewayRefused():
            return Problem("gateway_refused", "The payment service refused what it was asked; nothing was charged.")
        case TeamNameTaken() | TeamCycle() | TeamStays():
            return Problem("conflict", str(error))
    return None


def _code_problem(error: errors.CodeError) -> Problem:
    match error:
        case errors.CodeMistyped():
            return Problem("code_mistyped", str(error))
        case errors.TooManyGuesses(retry_after=seconds):
            return Problem("rate_limited", str(error), headers={"Retry-After": str(seconds)})
        case errors.CodeUsedBefore():
            reason = "used_before"
        case errors.CodeForFirstPurchase():
            reason = "first_purchase_only"
        case errors.CodeForPurchases():
            reason = "needs_purchase"
        case errors.CodeNotForPurchases():
            reason = "not_for_purchases"
        case _:
            return Problem("code_invalid", str(error))
    return Problem("code_not_applicable", str(error), reason=reason)


def invalid(name: str, message: str) -> Problem:
    """Return the problem of one member that is not valid."""
    details: dict[str, Any] = {name: [{"message": message, "code": "invalid"}]}
    return Problem("validation_error", "Some fields are not valid.", errors=details)


def _too_little(code: str, detail: str, available_mtok: int) -> Problem:
    return Problem(code, detail, available_tokens=tokens_number(available_mtok))
