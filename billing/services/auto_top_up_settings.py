"""Setting an automatic top-up up, turning it off, and letting one go on that has stopped."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from billing.enums import AutoTopUpStatus
from billing.errors import AutoTopUpInvalid
from billing.models import AutoTopUp, BillingCustomer
from billing.money import money_text
from billing.queries.top_ups import Offer, offer_of_amount, offer_of_package
from billing.services.auto_top_up_states import arm, locked, record
from tenants.actors import Actor
from tenants.scope import organization_scope

MOST_PER_HOUR, MOST_PER_DAY = 10, 50


@dataclass(frozen=True, kw_only=True)
class AutoTopUpTerms:
    """When and what is bought: a package, or so many mtok in a currency; at most so much money (minor) in a month."""

    enabled: bool
    threshold_mtok: int
    package_id: uuid.UUID | None = None
    tokens_mtok: int | None = None
    currency: str = ""
    ceiling_minor: int
    most_per_hour: int = 2
    most_per_day: int = 5

    def offer(self) -> Offer:
        """Return what would be bought now. Raises TopUpInvalid."""
        if self.package_id is not None:
            return offer_of_package(self.package_id)
        return offer_of_amount(tokens_mtok=self.tokens_mtok or 0, currency=self.currency)


def check_terms(terms: AutoTopUpTerms) -> Offer:
    """Return what these terms buy. Raises AutoTopUpInvalid, with words for a person, and TopUpInvalid."""
    if terms.threshold_mtok <= 0:
        raise AutoTopUpInvalid("threshold", _("Say below how many Tokens more are bought."))
    if (terms.package_id is None) == (terms.tokens_mtok is None):
        raise AutoTopUpInvalid("package", _("Choose a package, or a free amount."))
    offer = terms.offer()
    if terms.ceiling_minor < offer.amount_minor:
        raise AutoTopUpInvalid(
            "ceiling", _("One purchase costs %(price)s: a month must allow at least that.") % {"price": offer.price}
        )
    if not 1 <= terms.most_per_hour <= MOST_PER_HOUR:
        raise AutoTopUpInvalid(
            "most_per_hour", _("This must be a number from 1 to %(most)d.") % {"most": MOST_PER_HOUR}
        )
    if not terms.most_per_hour <= terms.most_per_day <= MOST_PER_DAY:
        raise AutoTopUpInvalid(
            "most_per_day",
            _("This must be at least as many as in an hour, and at most %(most)d.") % {"most": MOST_PER_DAY},
        )
    return offer


def set_auto_top_up(*, organization_id: uuid.UUID, terms: AutoTopUpTerms, actor: Actor, now: datetime) -> AutoTopUp:
    """Keep these settings, and turn it on or off. Where the wallet has too little already, the first payment is due.

    What has stopped stays so until `resume_auto_top_up`. Opens its own scope; locks the wallet, then the settings.
    Raises AutoTopUpInvalid (`card`: there is no saved card) and TopUpInvalid.
    """
    offer = check_terms(terms)
    with organization_scope(organization_id):
        wallet, row = locked(organization_id)
        if terms.enabled and not BillingCustomer.objects.exclude(card_payment_method_id="").exists():
            raise AutoTopUpInvalid("card", _("Save a card first: it is charged while nobody is present."))
        before = _facts(row) if row else None
        row = row or AutoTopUp(organization_id=organization_id, created_at=now, counted_from=now)
        row.threshold_mtok, row.ceiling_minor = terms.threshold_mtok, terms.ceiling_minor
        row.package_id, row.tokens_mtok, row.currency = terms.package_id, terms.tokens_mtok, offer.currency
        row.most_per_hour, row.most_per_day = terms.most_per_hour, terms.most_per_day
        row.updated_at, row.updated_by = now, actor.name or str(actor)
        in_hand = row.status in {AutoTopUpStatus.WAITING, AutoTopUpStatus.CONFIRM, AutoTopUpStatus.DECLINED}
        if not terms.enabled:
            row.status, row.stop_reason = AutoTopUpStatus.OFF, ""
        elif row.status in {AutoTopUpStatus.OFF, AutoTopUpStatus.CEILING}:
            row.status, row.failures, row.counted_from = AutoTopUpStatus.ON, 0, now
        if terms.enabled and in_hand:
            # What waits for the bank or for the next try goes on as it is.
            row.save()
        else:
            arm(row, wallet, now=now)
        record(row, "auto_top_up.changed", actor, now, before=before, after=_facts(row))
    return row


def resume_auto_top_up(*, organization_id: uuid.UUID, actor: Actor, now: datetime) -> AutoTopUp:
    """Let one go on that has stopped, or that waits for its next try; its payments are counted from now on.

    As `set_auto_top_up` otherwise. Raises AutoTopUpInvalid where there is nothing to go on.
    """
    with organization_scope(organization_id):
        wallet, row = locked(organization_id)
        resumable = {AutoTopUpStatus.STOPPED, AutoTopUpStatus.DECLINED, AutoTopUpStatus.CEILING}
        if row is None or row.status not in resumable:
            raise AutoTopUpInvalid("status", _("It has not stopped."))
        if not BillingCustomer.objects.exclude(card_payment_method_id="").exists():
            raise AutoTopUpInvalid("card", _("Save a card first: it is charged while nobody is present."))
        before = {"status": row.status, "reason": row.stop_reason}
        row.status, row.stop_reason, row.failures = AutoTopUpStatus.ON, "", 0
        row.counted_from, row.updated_at, row.updated_by = now, now, actor.name or str(actor)
        arm(row, wallet, now=now)
        record(row, "auto_top_up.resumed", actor, now, before=before)
    return row


def _facts(row: AutoTopUp) -> dict[str, object]:
    return {
        "status": row.status,
        "threshold_mtok": row.threshold_mtok,
        "buys": str(row.package_id) if row.package_id else f"{(row.tokens_mtok or 0) // 1000} Tokens",
        "ceiling": money_text(row.ceiling_minor, row.currency),
        "per_hour": row.most_per_hour,
        "per_day": row.most_per_day,
    }
