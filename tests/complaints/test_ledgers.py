"""What users of other ledgers report, held against ours as far as the ledger alone decides it."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest

from billing.enums import GrantSource
from billing.models import Grant, Transfer
from billing.services.grants import issue_grant, refund_unspent
from tenants.actors import PLATFORM
from tenants.models import Organization
from tenants.scope import organization_scope
from tests.api_client import body, manager_of
from tests.concurrency.racing import connect, place, race
from tests.factories.billing import NOW, assert_ledger_clean, balance_of, make_capped_account, make_hold, make_wallet

pytestmark = [pytest.mark.concurrency, pytest.mark.slow]


def buy(organization: Organization, key: str = "checkout-1") -> uuid.UUID:
    return issue_grant(
        organization_id=organization.id, tokens_mtok=1_000, source=GrantSource.PURCHASE, reference="pi_1",
        idempotency_key=key, now=NOW,
    ).id  # fmt: skip


def test_opencode_28402_a_payment_that_is_told_of_twice_is_credited_once(
    committed_db: None, alpha: Organization
) -> None:
    """opencode#28402, pollinations#10621, llmgateway#1713: free credits whenever Stripe repeats its event."""
    wallet = make_wallet(alpha)
    granted = race([lambda: buy(alpha)] * 16)
    assert len(granted) == 1
    assert balance_of(wallet).available_mtok == 1_000
    assert_ledger_clean()


def test_librechat_13812_a_credit_that_failed_can_be_tried_again(committed_db: None, alpha: Organization) -> None:
    """LibreChat PR#13812: the event is noted before the credit, so after a failure no retry ever credits.

    The key is written in the credit's own transaction: what fails leaves neither.
    """
    wallet = make_wallet(alpha)

    def crash_after_crediting() -> None:
        with organization_scope(alpha.id):
            buy(alpha)
            raise ConnectionError

    with pytest.raises(ConnectionError):
        crash_after_crediting()
    assert balance_of(wallet).available_mtok == 0
    buy(alpha)
    assert balance_of(wallet).available_mtok == 1_000
    assert_ledger_clean()


def test_lago_api_5870_the_same_post_twice_moves_once(committed_db: None, alpha: Organization) -> None:
    """lago-api#5870: the same top-up sent twice charges twice. Every POST that moves Tokens takes a key."""
    make_wallet(alpha, 100_000)
    manager = manager_of(alpha)
    team = body(manager.post("/v1/teams", {"name": "Line", "mode": "allocated", "tokens": 0}))["id"]
    answers = race([
        lambda: manager_of(alpha).post(f"/v1/teams/{team}/allocate", {"tokens": 10}, Idempotency_Key="top-up-1").content
    ] * 6)  # fmt: skip
    assert len(answers) == 1
    assert body(manager.get("/v1/teams"))["data"][0]["pool"]["remaining_tokens"] == 10
    assert_ledger_clean()


def test_formance_ledger_364_no_two_transfers_share_an_id_under_load(committed_db: None, alpha: Organization) -> None:
    """formance/ledger#364: duplicate transaction ids under load."""
    make_wallet(alpha)
    race([lambda number=number: [buy(alpha, f"{number}-{n}") for n in range(8)] and None for number in range(12)])
    with organization_scope(alpha.id):
        ids = list(Transfer.objects.values_list("id", flat=True))
        assert Grant.objects.count() == 96
    assert Counter(ids).most_common(1)[0][1] == 1
    assert len(ids) == 96
    assert_ledger_clean()


def test_litellm_2814_the_totals_reconcile(committed_db: None, alpha: Organization) -> None:
    """litellm#2814: users ask that the totals add up, as granted = available + held + frozen + consumed + expired
    + refunded."""
    wallet = make_wallet(alpha, 1_000)
    make_hold(make_capped_account(wallet, 300), 200)
    refund_unspent(organization_id=alpha.id, mtok=50, reason="Asked", idempotency_key="r", actor=PLATFORM, now=NOW)
    assert_ledger_clean()
    left = balance_of(wallet)
    assert left.available_mtok + left.held_mtok + 50 == 1_000


def test_new_api_5235_a_refund_gives_back_what_is_unspent_and_never_what_is_held_or_spent(
    committed_db: None, alpha: Organization
) -> None:
    """new-api#5288, #4168 and #5235: charged although nothing was delivered; refunded although it was."""
    wallet = make_wallet(alpha, 1_000)
    make_hold(wallet, 400)
    refunded = refund_unspent(
        organization_id=alpha.id, reason="Asked", idempotency_key="r", actor=PLATFORM, now=NOW
    )  # fmt: skip
    assert refunded.mtok == 600
    assert balance_of(wallet).held_mtok == 400
    assert_ledger_clean()


def test_a_refund_and_the_spending_of_the_same_tokens_never_both_happen(
    committed_db: None, alpha: Organization
) -> None:
    """Refund semantics in a race: each thousandth is held or paid back."""
    wallet = make_wallet(alpha, 10_000)

    def spend() -> tuple[str, int]:
        with connect() as web:
            return "held", sum(100 for _ in range(10) if place(web, wallet, 100)[0] == "held")

    def refund() -> tuple[str, int]:
        key = str(uuid.uuid4())
        done = refund_unspent(
            organization_id=alpha.id, mtok=1_500, reason="Asked", idempotency_key=key, actor=PLATFORM, now=NOW
        )
        return "refunded", done.mtok

    sums: Counter[str] = Counter()
    for (what, mtok), times in race([spend] * 8 + [refund] * 4).items():
        sums[what] += mtok * times
    left = balance_of(wallet)
    assert (left.held_mtok, left.posted_mtok) == (sums["held"], 10_000 - sums["refunded"])
    assert sums["held"] + sums["refunded"] + left.available_mtok == 10_000
    assert_ledger_clean()
