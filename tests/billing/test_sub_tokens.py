"""Sub-tokens slice exactly: what they are given leaves the parent, what is taken back returns with its expiry."""

import uuid
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from billing.enums import AccountKind, AccountMode, SubTokenMode
from billing.errors import (
    AmountInvalid,
    ExpiryOutOfRange,
    InsufficientTokens,
    NoQuota,
    QuotaExceeded,
    SubTokenUnknown,
    TeamUnknown,
)
from billing.models import Account, Lot, Plan, SubToken
from billing.queries.balances import balance, organization_balance
from billing.queries.sub_tokens import state, states, sub_tokens
from billing.services.pools import open_pool
from billing.services.sub_token_life import revoke_sub_token
from billing.services.sub_tokens import (
    IssuedSubToken,
    Policy,
    allocate_to_sub_token,
    create_sub_token,
    reclaim_from_sub_token,
)
from billing.services.verify import verify_ledger
from tenants.actors import user_actor
from tenants.errors import TeamStays
from tenants.models import AuditEvent, Organization
from tenants.scope import organization_scope, platform_scope
from tenants.secrets import SecretKind, hash_secret, kind_of
from tenants.services.teams import change_team
from tests.factories.billing import make_grant, make_hold, make_wallet
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db

ACTOR = user_actor(uuid.uuid4(), "alice@alpha.example")


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def rich(alpha: Organization, now: datetime) -> Organization:
    """Alpha with 100 Tokens."""
    make_wallet(alpha, 100_000, now=now)
    return alpha


def create(organization: Organization, now: datetime, mtok: int | None = 50_000, **fields: object) -> IssuedSubToken:
    with organization_scope(organization.id):
        return create_sub_token(
            organization_id=organization.id, name="Line 1", mtok=mtok, actor=ACTOR, now=now, **fields
        )


def available(organization: Organization, account_id: uuid.UUID) -> int:
    with organization_scope(organization.id):
        return balance(account_id).available_mtok


def wallet_of(organization: Organization) -> Account:
    with organization_scope(organization.id):
        return Account.objects.get(kind=AccountKind.ORG_WALLET)


def test_an_allocated_sub_token_takes_its_tokens_along(rich: Organization, now: datetime) -> None:
    issued = create(rich, now)
    assert available(rich, issued.sub_token.account_id) == 50_000
    assert available(rich, wallet_of(rich).id) == 50_000
    with organization_scope(rich.id):
        found = state(issued.sub_token, now=now)
        assert (found.total_mtok, found.used_mtok, found.status) == (50_000, 0, "active")
        assert organization_balance(rich.id).available_mtok == 100_000


def test_only_the_hash_of_the_secret_is_kept(rich: Organization, now: datetime) -> None:
    issued = create(rich, now)
    assert kind_of(issued.secret) is SecretKind.SUB_TOKEN
    with organization_scope(rich.id):
        row = SubToken.objects.values().get()
        event = AuditEvent.objects.values().get(action="sub_token.created")
    assert row["secret_hash"] == hash_secret(issued.secret)
    assert issued.secret not in repr(row) + repr(event)
    assert issued.secret.startswith(row["prefix"])


def test_three_of_a_package_never_spend_a_thousandth_more(rich: Organization, now: datetime) -> None:
    create(rich, now, 33_333)
    create(rich, now, 33_333)
    create(rich, now, 33_334)
    with pytest.raises(InsufficientTokens):
        create(rich, now, 1)
    with organization_scope(rich.id):
        assert SubToken.objects.count() == 3
        assert Account.objects.filter(kind=AccountKind.SUB_TOKEN).count() == 3


def test_a_capped_sub_token_draws_on_the_wallet_up_to_its_quota(rich: Organization, now: datetime) -> None:
    issued = create(rich, now, 30_000, mode=SubTokenMode.CAPPED)
    assert available(rich, wallet_of(rich).id) == 100_000
    with organization_scope(rich.id):
        account = Account.objects.get(id=issued.sub_token.account_id)
    make_hold(account, 30_000, now=now)
    with organization_scope(rich.id):
        found = state(issued.sub_token, now=now)
    assert (found.total_mtok, found.balance.available_mtok, found.balance.held_mtok) == (30_000, 0, 30_000)


def test_a_capped_sub_token_without_quota_goes_as_far_as_its_parent(rich: Organization, now: datetime) -> None:
    issued = create(rich, now, None, mode=SubTokenMode.CAPPED)
    assert available(rich, issued.sub_token.account_id) == 100_000
    with organization_scope(rich.id):
        assert state(issued.sub_token, now=now).total_mtok is None
        with pytest.raises(NoQuota):
            allocate_to_sub_token(sub_token_id=issued.sub_token.id, mtok=1, actor=ACTOR, now=now)


def test_more_tokens_and_back_again(rich: Organization, now: datetime) -> None:
    sub_token = create(rich, now).sub_token
    with organization_scope(rich.id):
        allocate_to_sub_token(sub_token_id=sub_token.id, mtok=25_000, actor=ACTOR, now=now)
        assert balance(sub_token.account_id).available_mtok == 75_000
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, mtok=5_001, actor=ACTOR, now=now)
        assert (taken, balance(sub_token.account_id).available_mtok) == (5_001, 69_999)
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert (taken, balance(sub_token.account_id).available_mtok) == (69_999, 0)
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert taken == 0
    assert available(rich, wallet_of(rich).id) == 100_000
    assert verify_ledger(now=now).passed


def test_reclaimed_tokens_keep_their_expiry(alpha: Organization, now: datetime) -> None:
    make_wallet(alpha)
    soon = make_grant(alpha, 10_000, expires_at=now + timedelta(days=3), now=now)
    sub_token = create(alpha, now, 10_000).sub_token
    with organization_scope(alpha.id):
        reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        lot = Lot.objects.get(account__kind=AccountKind.ORG_WALLET, posted_mtok=10_000)
    assert (lot.grant_id, lot.expires_at) == (soon.id, now + timedelta(days=3))


def test_what_is_held_is_not_reclaimed(rich: Organization, now: datetime) -> None:
    sub_token = create(rich, now).sub_token
    make_hold(sub_token.account, 20_000, now=now)
    with organization_scope(rich.id):
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert taken == 30_000
        with pytest.raises(InsufficientTokens):
            reclaim_from_sub_token(sub_token_id=sub_token.id, mtok=1, actor=ACTOR, now=now)


def test_a_quota_is_raised_and_lowered_to_what_was_drawn(rich: Organization, now: datetime) -> None:
    sub_token = create(rich, now, 10_000, mode=SubTokenMode.CAPPED).sub_token
    make_hold(sub_token.account, 4_000, now=now)
    with organization_scope(rich.id):
        allocate_to_sub_token(sub_token_id=sub_token.id, mtok=5_000, actor=ACTOR, now=now)
        with pytest.raises(InsufficientTokens):
            reclaim_from_sub_token(sub_token_id=sub_token.id, mtok=11_001, actor=ACTOR, now=now)
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert taken == 11_000
        assert Account.objects.get(id=sub_token.account_id).cap_mtok == 4_000


@pytest.mark.parametrize("mode", SubTokenMode)
@pytest.mark.parametrize("mtok", [0, -1])
def test_nothing_and_less_cannot_be_moved(rich: Organization, now: datetime, mode: SubTokenMode, mtok: int) -> None:
    sub_token = create(rich, now, 10_000, mode=mode).sub_token
    with organization_scope(rich.id):
        with pytest.raises(AmountInvalid):
            allocate_to_sub_token(sub_token_id=sub_token.id, mtok=mtok, actor=ACTOR, now=now)
        with pytest.raises(AmountInvalid):
            reclaim_from_sub_token(sub_token_id=sub_token.id, mtok=mtok, actor=ACTOR, now=now)


def test_a_revoked_sub_token_holds_nothing_more_and_gives_back_what_it_has(rich: Organization, now: datetime) -> None:
    sub_token = create(rich, now).sub_token
    with organization_scope(rich.id):
        revoked = revoke_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert (revoked.revoked_at, revoked.status_at(now)) == (now, "revoked")
        assert Account.objects.get(id=sub_token.account_id).closed_at == now
        again = revoke_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now + timedelta(hours=1))
        assert again.revoked_at == now
        assert AuditEvent.objects.filter(action="sub_token.revoked").count() == 1
        _, taken = reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now)
        assert taken == 50_000


def test_the_default_life_is_thirty_days_and_stands_on_the_account_too(rich: Organization, now: datetime) -> None:
    sub_token = create(rich, now).sub_token
    assert sub_token.expires_at == now + timedelta(days=30)
    assert sub_token.account.expires_at == sub_token.expires_at
    assert sub_token.status_at(now + timedelta(days=30)) == "expired"


@pytest.mark.parametrize("life", [timedelta(), timedelta(seconds=59), timedelta(days=-1), timedelta(days=61)])
def test_a_life_out_of_range_is_refused(rich: Organization, now: datetime, life: timedelta) -> None:
    with platform_scope("test"):
        Plan.objects.filter(key="enterprise").update(sub_token_days=60)
    with pytest.raises(ExpiryOutOfRange):
        create(rich, now, expires_at=now + life)


def test_the_policy_is_kept(rich: Organization, now: datetime) -> None:
    policy = Policy(burst=3, concurrency=2, models=["yolo26n"], ip_allow_list=["10.0.0.0/8"], on_exhausted="wait")
    sub_token = create(rich, now, policy=policy).sub_token
    assert (sub_token.burst, sub_token.concurrency, sub_token.on_exhausted) == (3, 2, "wait")
    assert (sub_token.models, sub_token.ip_allow_list) == (["yolo26n"], ["10.0.0.0/8"])


def test_a_teams_sub_tokens_hang_below_its_pool(rich: Organization, now: datetime) -> None:
    factory = make_team(rich, "Factory")
    line = make_team(rich, "Line", parent=factory)
    sub_token = create(rich, now, 5_000, team_id=line.id).sub_token
    with organization_scope(rich.id):
        pool = Account.objects.get(id=sub_token.account.parent_id)
        assert (pool.team_id, pool.kind, pool.mode) == (line.id, AccountKind.TEAM_POOL, AccountMode.CAPPED)
        assert Account.objects.get(id=pool.parent_id).team_id == factory.id
        assert [found.id for found in sub_tokens(team_id=line.id)] == [sub_token.id]
        assert not sub_tokens(team_id=factory.id).exists()


def test_a_team_with_a_pool_stays_where_it_is(rich: Organization, now: datetime) -> None:
    factory, hall = make_team(rich, "Factory"), make_team(rich, "Hall")
    line = make_team(rich, "Line", parent=factory)
    create(rich, now, 5_000, team_id=line.id)
    with organization_scope(rich.id):
        for parent_id in (hall.id, None):
            with pytest.raises(TeamStays):
                change_team(team_id=line.id, name="Line 2", parent_id=parent_id, actor=ACTOR, now=now)
        change_team(team_id=line.id, name="Line 2", parent_id=factory.id, actor=ACTOR, now=now)
        change_team(team_id=hall.id, name="Hall", parent_id=factory.id, actor=ACTOR, now=now)
        line.refresh_from_db()
        hall.refresh_from_db()
    assert (line.name, line.parent_id, hall.parent_id) == ("Line 2", factory.id, factory.id)


def test_a_ring_fenced_pool_bounds_its_team(rich: Organization, now: datetime) -> None:
    team = make_team(rich)
    with organization_scope(rich.id):
        pool = open_pool(team_id=team.id, mode=SubTokenMode.ALLOCATED, mtok=20_000, actor=ACTOR, now=now)
        assert open_pool(team_id=team.id, actor=ACTOR, now=now).id == pool.id
    with pytest.raises(InsufficientTokens):
        create(rich, now, 20_001, team_id=team.id)
    create(rich, now, 20_000, team_id=team.id)
    assert available(rich, wallet_of(rich).id) == 80_000


def test_a_quota_of_the_pool_bounds_its_team(rich: Organization, now: datetime) -> None:
    team = make_team(rich)
    with organization_scope(rich.id):
        open_pool(team_id=team.id, mode=SubTokenMode.CAPPED, mtok=20_000, actor=ACTOR, now=now)
    create(rich, now, 15_000, team_id=team.id)
    with pytest.raises(QuotaExceeded):
        create(rich, now, 5_001, team_id=team.id)


def test_outsiders_find_nothing(rich: Organization, beta: Organization, now: datetime) -> None:
    make_wallet(beta, 1_000, now=now)
    sub_token = create(rich, now).sub_token
    team = make_team(rich)
    with organization_scope(beta.id):
        for act in (
            lambda: allocate_to_sub_token(sub_token_id=sub_token.id, mtok=1, actor=ACTOR, now=now),
            lambda: reclaim_from_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now),
            lambda: revoke_sub_token(sub_token_id=sub_token.id, actor=ACTOR, now=now),
        ):
            with pytest.raises(SubTokenUnknown):
                act()
        with pytest.raises(TeamUnknown):
            open_pool(team_id=team.id, actor=ACTOR, now=now)
        assert not sub_tokens().exists()


def test_many_states_cost_three_queries(rich: Organization, now: datetime, django_assert_num_queries: object) -> None:
    for _ in range(3):
        create(rich, now, 1_000)
    with organization_scope(rich.id):
        found = list(sub_tokens())
        with django_assert_num_queries(3):
            assert [one.total_mtok for one in states(found, now=now)] == [1_000] * 3


def test_every_thousandth_is_accounted_for(rich: Organization, now: datetime) -> None:
    for mtok in (1, 33_333, 12_345):
        create(rich, now, mtok)
    create(rich, now, 7_000, team_id=make_team(rich).id)
    with platform_scope("test"):
        assert verify_ledger(now=now).passed
