"""What users of other billing systems complained of, each as a test (references: issue and pull request numbers)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.enums import AlertRule
from billing.models import Account, Alert
from billing.services.crossings import raise_crossings
from billing.services.exhaustion import forget_refusals
from tenants.identifiers import new_id
from tenants.models import Organization, OutboxMail
from tenants.scope import platform_scope
from tests.concurrency.racing import connect, race
from tests.factories.alerts import alerts_of, raise_all, spend
from tests.factories.billing import NOW, make_account, make_grant, make_hold, make_wallet
from tests.factories.tenants import make_organization

SUB = AlertRule.SUB_TOKEN_USED


def mails() -> int:
    with platform_scope("look"):
        return OutboxMail.objects.count()


@pytest.mark.django_db
def test_litellm_3738_and_3113_an_alert_on_every_request(alpha: Organization) -> None:
    """litellm#3738, #3113: "alert on every request". Beyond the level each call is as silent as before it."""
    account = make_account(make_wallet(alpha, 1_000_000), 100_000)
    for _ in range(30):
        spend(account, 3_200)
        raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 80, True), (SUB, 95, True)]
    assert mails() == 2


@pytest.mark.concurrency
def test_litellm_pr_32011_duplicates_on_concurrent_crossing(committed_db: None) -> None:
    """litellm PR#32011: "duplicates on concurrent crossing". Captures and the workers that tell of them race."""
    organization = make_organization()
    account = make_account(make_wallet(organization, 1_000_000), 100_000)
    held = [make_hold(account, 5_000, now=timezone.now()).hold_id for _ in range(20)]

    def capture(hold_id: object) -> str:
        with connect(platform=True) as connection:
            items = f'[{{"hold_id": "{hold_id}", "mtok": 5000, "transfer_id": "{new_id()}"}}]'
            row = connection.execute("SELECT outcome FROM billing_capture_holds(%s, %s)", [items, NOW]).fetchone()
        assert row
        raise_crossings(now=timezone.now() + timedelta(seconds=1))
        return row[0]

    assert race([lambda hold_id=hold_id: capture(hold_id) for hold_id in held]) == {"captured": 20}
    raise_all(timezone.now() + timedelta(minutes=2))
    with platform_scope("look"):
        raised = list(Alert.objects.filter(rule=SUB).order_by("level").values_list("level", flat=True))
    assert raised == [80, 95, 100]
    assert 1 <= mails() <= 3


@pytest.mark.django_db
def test_openmeter_3200_number_thresholds_never_fire(alpha: Organization) -> None:
    """openmeter#3200: "NUMBER thresholds never fire". A level fires at its exact thousandth, whatever the sums."""
    wallet = make_wallet(alpha, 10_000_000)
    for whole in (1, 3, 7, 10, 99, 1_001, 99_999, 123_457):
        account = make_account(wallet, whole)
        at_80 = -(-whole * 80 // 100)
        raise_all()
        before = len(alerts_of(alpha, SUB))
        if at_80 > 1:
            spend(account, at_80 - 1)
            raise_all()
            assert len(alerts_of(alpha, SUB)) == before, f"{at_80 - 1} of {whole}"
        spend(account, 1)
        raise_all()
        assert len(alerts_of(alpha, SUB)) > before, f"{at_80} of {whole}"


@pytest.mark.django_db
def test_one_api_the_low_quota_mail_sits_in_a_path_that_is_skipped(alpha: Organization) -> None:
    """Alerts: one-api warns where it holds, which trusted users skip. The database sees every way of spending."""
    wallet = make_wallet(alpha, 1_000_000)
    account = make_account(wallet, 100_000)
    with platform_scope("no service, no hold: the row alone"):
        Account.objects.filter(id=account.id).update(posted_mtok=50_000, held_mtok=0)
        Account.objects.filter(id=account.id).update(held_mtok=50_000)
        Account.objects.filter(id=account.id).update(posted_mtok=1_000, held_mtok=0)
    raise_all()
    assert alerts_of(alpha, SUB), "whatever way the balance fell, the level was seen"


@pytest.mark.django_db
def test_lago_4954_polling_breaks_thresholds(alpha: Organization) -> None:
    """lago-api#4954: polled every five minutes, a balance that falls and rises in between was never low."""
    forget_refusals()
    wallet = make_wallet(alpha, 100_000)
    spend(wallet, 100_000)
    make_grant(alpha, 1_000_000, now=timezone.now())
    raise_all()
    exhausted = AlertRule.TOKENS_EXHAUSTED
    assert alerts_of(alpha, exhausted) == [(exhausted, 100, True)], "it was empty, if only for a moment"


@pytest.mark.django_db
def test_glitchtip_a_jump_past_100_between_two_runs_is_never_warned_of(alpha: Organization) -> None:
    """Its task looks for 80 to 100 %, so what is beyond by then is told of by nobody."""
    account = make_account(make_wallet(alpha, 1_000_000), 100_000)
    spend(account, 100_000)
    raise_all()
    assert alerts_of(alpha, SUB) == [(SUB, 80, False), (SUB, 95, False), (SUB, 100, True)]
    assert mails() == 1
