"""People are told of a grant that expires within 7 days and has Tokens left: once, by inbox and mail."""

from __future__ import annotations

from datetime import timedelta

import pytest

from billing.models import Alert
from billing.services.expiring import warn_of_expiring_grants
from billing.services.expiry import expire_grants
from tenants.models import Organization, OutboxMail
from tenants.scope import organization_scope, platform_scope
from tests.concurrency.racing import race
from tests.factories.billing import NOW, make_account, make_grant, make_hold, make_wallet

DAY = timedelta(days=1)


@pytest.mark.django_db
def test_a_week_before_and_once(alpha: Organization, beta: Organization) -> None:
    wallet = make_wallet(alpha, 5_000)
    make_wallet(beta, 5_000)
    grant = make_grant(alpha, 1_000, expires_at=NOW + 30 * DAY)
    make_account(wallet, 400)
    told = [(days, warn_of_expiring_grants(now=NOW + days * DAY)) for days in range(31)]
    assert [days for days, count in told if count] == [23]
    with platform_scope("test"):
        (alert,) = Alert.objects.all()
        (mail,) = OutboxMail.objects.all()
    assert (alert.organization_id, alert.subject_id) == (alpha.id, grant.id)
    assert alert.facts["remaining_mtok"] == 1_000
    assert mail.recipient == "alice@alpha.example"


@pytest.mark.django_db
def test_not_of_what_is_used_up_or_over_or_far_off(alpha: Organization) -> None:
    wallet = make_wallet(alpha)
    make_grant(alpha, 100, expires_at=NOW)
    make_grant(alpha, 100, expires_at=NOW + 7 * DAY + timedelta(seconds=1))
    expire_grants(now=NOW)
    assert warn_of_expiring_grants(now=NOW) == 0
    make_hold(wallet, 100)
    assert warn_of_expiring_grants(now=NOW + timedelta(seconds=1)) == 1  # what is held is still there


@pytest.mark.concurrency
@pytest.mark.slow
def test_schedulers_side_by_side_tell_once(committed_db: None, alpha: Organization) -> None:
    make_wallet(alpha)
    for _ in range(5):
        make_grant(alpha, 100, expires_at=NOW + DAY)
    told = race([lambda: warn_of_expiring_grants(now=NOW)] * 6)
    assert sum(count * times for count, times in told.items()) == 5
    with organization_scope(alpha.id):
        assert Alert.objects.count() == 5
        assert OutboxMail.objects.count() == 5
