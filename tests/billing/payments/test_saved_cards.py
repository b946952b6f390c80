"""Cards that are saved for automatic top-ups: saved, chosen, removed, and nobody else's."""

from __future__ import annotations

import pytest
from django.utils import timezone

from billing.enums import AutoTopUpStatus, StopReason
from billing.errors import CardUnknown
from billing.models import Account, BillingCustomer
from billing.services.cards import make_default, remove_card, save_card, saved_cards
from tenants.actors import PLATFORM
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope
from tests.billing.payments.automatic import deliver_all
from tests.factories.auto_top_ups import give_card, row_of, turn_on
from tests.factories.billing import make_wallet
from tests.stripe_standin import StandIn

pytestmark = pytest.mark.django_db(transaction=True)
S = AutoTopUpStatus


@pytest.fixture
def wallet(alpha: Organization) -> Account:
    return make_wallet(alpha, 150_000, now=timezone.now())


# --- Cards -----------------------------------------------------------------------------------------------------------
def test_cards_are_saved_chosen_and_removed(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    give_card(alpha, standin, "5555555555554444")
    now = timezone.now()
    newest, oldest = saved_cards(organization_id=alpha.id)
    assert (newest.last4, oldest.last4) == ("4444", "4242")
    make_default(organization_id=alpha.id, payment_method_id=oldest.payment_method_id, actor=PLATFORM, now=now)
    with organization_scope(alpha.id):
        assert BillingCustomer.objects.get().card_last4 == "4242"
    turn_on(alpha)
    remove_card(organization_id=alpha.id, payment_method_id=newest.payment_method_id, actor=PLATFORM, now=now)
    assert row_of(alpha).status == S.ON, "another card is charged"
    remove_card(organization_id=alpha.id, payment_method_id=oldest.payment_method_id, actor=PLATFORM, now=now)
    assert (row_of(alpha).status, row_of(alpha).stop_reason) == (S.STOPPED, StopReason.NO_CARD)
    assert saved_cards(organization_id=alpha.id) == []
    with organization_scope(alpha.id):
        assert BillingCustomer.objects.get().card_payment_method_id == ""
        actions = list(
            AuditEvent.objects.filter(action__startswith="card.").order_by("id").values_list("action", flat=True)
        )
    assert actions == ["card.saved", "card.saved", "card.made_default", "card.removed", "card.removed"]


def test_another_organization_s_card_is_no_card(
    alpha: Organization,
    beta: Organization,
    wallet: Account,
    standin: StandIn,
) -> None:
    make_wallet(beta)
    give_card(alpha, standin)
    give_card(beta, standin)
    (card,) = saved_cards(organization_id=alpha.id)
    for act in (make_default, remove_card):
        with pytest.raises(CardUnknown):
            act(
                organization_id=beta.id,
                payment_method_id=card.payment_method_id,
                actor=PLATFORM,
                now=timezone.now(),
            )
    (session,) = [
        one
        for one in standin.client().v1.checkout.sessions.list({"limit": 10}).data
        if one.customer == _customer(alpha)
    ]
    with pytest.raises(CardUnknown):
        save_card(session_id=session.id, organization_id=beta.id, now=timezone.now())
    assert len(saved_cards(organization_id=alpha.id)) == 1


def test_the_webhook_saves_a_card_too(alpha: Organization, wallet: Account, standin: StandIn) -> None:
    give_card(alpha, standin)
    with organization_scope(alpha.id):
        BillingCustomer.objects.update(card_payment_method_id="", card_last4="")
    deliver_all(standin)
    with organization_scope(alpha.id):
        assert BillingCustomer.objects.get().card_last4 == "4242"


def _customer(organization: Organization) -> str:
    with organization_scope(organization.id):
        return BillingCustomer.objects.get().stripe_id
