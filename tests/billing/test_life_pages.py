"""The pages on which sub-tokens are changed, rotated, suspended, resumed, handled many at once and looked up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from billing.models import RetiredSecret, SubToken
from billing.queries.balances import organization_balance
from billing.services.sub_token_life import CHANGEABLE
from billing.services.sub_tokens import IssuedSubToken, Policy, create_sub_token
from tenants.actors import PLATFORM
from tenants.models import Organization, User
from tenants.scope import organization_scope
from tests.factories.billing import make_hold, make_wallet
from tests.factories.sub_tokens import make_sub_token
from tests.factories.tenants import make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(client: Client, alice: User, alpha: Organization) -> Client:
    """A browser in which Alice is signed in; Alpha has 100 Tokens."""
    make_wallet(alpha, 100_000, now=timezone.now())
    client.force_login(alice)
    return client


def create(alpha: Organization, name: str = "Line 1", mtok: int = 10_000, **fields: Any) -> IssuedSubToken:
    with organization_scope(alpha.id):
        return create_sub_token(
            organization_id=alpha.id, name=name, mtok=mtok, actor=PLATFORM, now=timezone.now(), **fields
        )


def fresh(alpha: Organization, sub_token: SubToken) -> SubToken:
    with organization_scope(alpha.id):
        return SubToken.objects.get(id=sub_token.id)


def page_of(sub_token: SubToken, act: str = "") -> str:
    return f"/o/alpha/sub-tokens/{sub_token.id}/{act}"


def edited(sub_token: SubToken, **changes: str) -> dict[str, str]:
    """What a browser sends when a form was opened and `changes` were typed."""
    return {
        "name": sub_token.name,
        "expires_at": f"{sub_token.expires_at:%Y-%m-%dT%H:%M}",
        "priority_class": "1",
    } | changes


def test_the_form_shows_the_present_policy_and_saving_it_changes_nothing(owner: Client, alpha: Organization) -> None:
    policy = Policy(
        requests_per_second="2.5", burst=3, models=["yolo26n", "yolo26s"], ip_allow_list=["10.0.0.0/8"], tags={"a": "b"}
    )
    sub_token = fresh(alpha, create(alpha, policy=policy).sub_token)
    form = owner.get(page_of(sub_token, "edit/")).context["form"]
    shown = {name: form.fields[name].widget.format_value(form[name].value()) for name in form.fields}
    assert shown["models"] == "yolo26n, yolo26s"
    sent = {name: value[0] if isinstance(value, list) else value or "" for name, value in shown.items()}
    assert owner.post(page_of(sub_token, "edit/"), sent).status_code == HTTPStatus.FOUND
    after = fresh(alpha, sub_token)
    assert {name: getattr(after, name) for name in CHANGEABLE} == {
        name: getattr(sub_token, name) for name in CHANGEABLE
    }


def test_a_policy_is_changed(owner: Client, alpha: Organization) -> None:
    sub_token = create(alpha).sub_token
    end = (timezone.now() + timedelta(days=60)).replace(second=0, microsecond=0)
    typed = edited(
        sub_token,
        name="Line 2",
        expires_at=f"{end:%Y-%m-%dT%H:%M}",
        models="yolo26n",
        tasks="detect",
        priority_class="2",
        ip_allow_list="203.0.113.7\n10.1.2.3/8",
        tags="site=Ulm\ncost_centre = 4711",
    )
    answer = owner.post(page_of(sub_token, "edit/"), typed, follow=True)
    assert "Calls go by it within a second." in answer.content.decode()
    changed = fresh(alpha, sub_token)
    assert (changed.name, changed.expires_at, changed.priority_class) == ("Line 2", end, 2)
    assert (changed.models, changed.tasks) == (["yolo26n"], ["detect"])
    assert changed.ip_allow_list == ["203.0.113.7/32", "10.0.0.0/8"]
    assert changed.tags == {"site": "Ulm", "cost_centre": "4711"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("expires_at", "2020-01-01T00:00"),
        ("expires_at", "9999-01-01T00:00"),
        ("expires_at", "soon"),
        ("ip_allow_list", "10.0.0.0/33"),
        ("tags", "no equals sign"),
        ("tags", "ü=x"),
        ("burst", "0"),
        ("priority_class", "7"),
    ],
)
def test_what_is_not_valid_stays_in_the_form(owner: Client, alpha: Organization, field: str, value: str) -> None:
    sub_token = create(alpha).sub_token
    answer = owner.post(page_of(sub_token, "edit/"), edited(sub_token, name="Other") | {field: value})
    assert answer.status_code == HTTPStatus.OK
    assert field in answer.context["form"].errors
    assert fresh(alpha, sub_token).name == "Line 1"


def test_a_new_secret_is_shown_once_and_the_old_one_works_on(owner: Client, alpha: Organization) -> None:
    issued = create(alpha)
    answer = owner.post(page_of(issued.sub_token, "rotate/"), {"grace_hours": "72"})
    assert "no-store" in answer.headers["Cache-Control"]
    secret = answer.context["secret"]
    assert secret != issued.secret
    page = owner.get(page_of(issued.sub_token)).content.decode()
    assert secret not in page
    assert f'The older <span class="mono">{issued.secret[:12]}…</span> works until' in page
    owner.post(page_of(issued.sub_token, "end-grace/"))
    with organization_scope(alpha.id):
        assert not RetiredSecret.objects.filter(ends_at__gt=timezone.now()).exists()
    assert "works until" not in owner.get(page_of(issued.sub_token)).content.decode()


@pytest.mark.parametrize("hours", ["", "-1", "5000", "x"])
def test_a_grace_that_is_not_offered_changes_nothing(owner: Client, alpha: Organization, hours: str) -> None:
    issued = create(alpha)
    assert owner.post(page_of(issued.sub_token, "rotate/"), {"grace_hours": hours}).status_code == HTTPStatus.FOUND
    assert fresh(alpha, issued.sub_token).secret_hash == issued.sub_token.secret_hash


def test_suspended_and_resumed(owner: Client, alpha: Organization) -> None:
    sub_token = create(alpha).sub_token
    make_hold(sub_token.account, 3_000, now=timezone.now())
    assert "3 Tokens are held for calls in progress" in owner.get(page_of(sub_token)).content.decode()
    owner.post(page_of(sub_token, "suspend/"))
    assert fresh(alpha, sub_token).suspended_at is not None
    assert "Resume" in owner.get(page_of(sub_token)).content.decode()
    owner.post(page_of(sub_token, "resume/"))
    assert fresh(alpha, sub_token).suspended_at is None


def bulk(browser: Client, *sub_tokens: SubToken, **fields: str) -> Any:
    return browser.post("/o/alpha/sub-tokens/bulk/", {"ids": [one.id for one in sub_tokens], **fields}, follow=True)


def test_many_are_revoked_only_once_the_numbers_were_confirmed(owner: Client, alpha: Organization) -> None:
    tokens = [create(alpha, f"Line {number}", 10_000).sub_token for number in range(3)]
    make_hold(tokens[0].account, 4_000, now=timezone.now())
    asked = bulk(owner, *tokens, act="revoke", reclaim="on")
    page = asked.content.decode()
    assert "4 Tokens are held for calls in progress" in page
    assert "26 Tokens go back to where they came from" in page
    assert asked.context["phrase"] == "revoke 3"
    bulk(owner, *tokens, act="revoke", reclaim="on", confirm_name="revoke 2")
    assert fresh(alpha, tokens[0]).revoked_at is None
    done = bulk(owner, *tokens, act="revoke", reclaim="on", confirm_name="revoke 3")
    assert "3 sub-tokens changed. 26 Tokens taken back." in done.content.decode()
    assert all(fresh(alpha, one).revoked_at for one in tokens)
    with organization_scope(alpha.id):
        assert organization_balance(alpha.id).unallocated_mtok == 96_000


def test_many_are_suspended_resumed_and_extended(owner: Client, alpha: Organization) -> None:
    tokens = [create(alpha, f"Line {number}").sub_token for number in range(2)]
    bulk(owner, *tokens, act="suspend", confirm_name="suspend 2")
    assert all(fresh(alpha, one).suspended_at for one in tokens)
    assert "Nothing to do" in bulk(owner, *tokens, act="suspend").content.decode()
    bulk(owner, *tokens, act="resume", confirm_name="resume 2")
    assert not any(fresh(alpha, one).suspended_at for one in tokens)
    bulk(owner, *tokens, act="expire", expires_in_days="90", confirm_name="expire 2")
    ends = {fresh(alpha, one).expires_at for one in tokens}
    assert len(ends) == 1
    assert timedelta(days=89) < ends.pop() - timezone.now() <= timedelta(days=90)


def test_nothing_ticked_and_another_organization_s(owner: Client, alpha: Organization, beta: Organization) -> None:
    assert "Tick the sub-tokens" in bulk(owner, act="revoke").content.decode()
    theirs, _ = make_sub_token(beta)
    mine = create(alpha).sub_token
    for confirm in ({}, {"confirm_name": "suspend 2"}):
        assert bulk(owner, mine, theirs, act="suspend", **confirm).status_code == HTTPStatus.NOT_FOUND
    assert fresh(alpha, mine).suspended_at is None


def test_a_found_secret_leads_to_its_sub_token(owner: Client, alpha: Organization, beta: Organization) -> None:
    issued = create(alpha)
    _, theirs = make_sub_token(beta)

    def look(secret: str) -> str:
        answer = owner.post("/o/alpha/sub-tokens/lookup/", {"secret": secret})
        assert len(secret) <= 12 or secret not in answer.content.decode()
        return answer.content.decode()

    for secret in (issued.secret, issued.secret[:12], issued.secret[:8]):
        assert page_of(issued.sub_token) in look(secret)
    assert "None of yours" in look(theirs)
    assert "None of yours" in look(theirs[:12])
    assert "None of yours" in look("tsk_%%%%")


def names(browser: Client, query: str) -> list[str]:
    answer = browser.get(f"/o/alpha/sub-tokens/{query}")
    assert answer.status_code == HTTPStatus.OK
    return [row.sub_token.name for row in answer.context["rows"]]


def test_the_list_is_filtered_and_sorted(owner: Client, alpha: Organization) -> None:
    now = timezone.now()
    team = make_team(alpha, "Hall")
    create(alpha, "b", 1_000, policy=Policy(tags={"site": "Ulm"}), expires_at=now + timedelta(days=9))
    second = create(alpha, "C", 1_000, team_id=team.id, expires_at=now + timedelta(days=3)).sub_token
    create(alpha, "a", 1_000)
    with organization_scope(alpha.id):
        SubToken.objects.filter(id=second.id).update(last_used_at=now, last_used_ip="198.51.100.7", suspended_at=now)
    assert names(owner, "") == ["a", "C", "b"]
    assert names(owner, "?sort=name") == ["a", "b", "C"]
    assert names(owner, "?sort=expires_at") == ["C", "b", "a"]
    assert names(owner, "?sort=-last_used_at")[0] == "C"
    assert names(owner, f"?team={team.id}") == ["C"]
    assert names(owner, "?status=suspended") == ["C"]
    assert names(owner, "?status=active") == ["a", "b"]
    assert names(owner, "?tag=site%3DUlm") == ["b"]
    assert names(owner, f"?q={second.prefix}") == ["C"]
    assert names(owner, "?sort=nonsense&team=x&cursor=x&status=y") == ["a", "C", "b"]
    assert "198.51.100.7" in owner.get("/o/alpha/sub-tokens/").content.decode()
    lines = b"".join(owner.get("/o/alpha/sub-tokens.csv?status=suspended")).decode().splitlines()
    assert len(lines) == 2
    assert ",Hall,suspended," in lines[1]


@pytest.mark.parametrize("sort", ["", "name", "expires_at", "-last_used_at", "last_used_at"])
def test_every_sub_token_is_on_one_page_in_every_order(
    owner: Client, alpha: Organization, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("billing.views.sub_tokens.PAGE", 3)
    now = timezone.now()
    for number in range(8):
        make_sub_token(
            alpha,
            f"Line {number % 3}",
            expires_at=now + timedelta(days=1 + number % 2),
            last_used_at=now if number % 3 else None,
        )
    seen, cursor = [], ""
    while True:
        answer = owner.get(f"/o/alpha/sub-tokens/?sort={sort}&cursor={cursor}")
        seen += [row.sub_token.id for row in answer.context["rows"]]
        cursor = answer.context["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 8
    csv = b"".join(owner.get(f"/o/alpha/sub-tokens.csv?sort={sort}")).decode().splitlines()[1:]
    assert [line.split(",")[0] for line in csv] == [str(one) for one in seen]


def test_a_list_of_a_thousand_costs_as_many_questions_as_one_of_three(
    owner: Client, alpha: Organization, django_assert_max_num_queries: Callable[[int], AbstractContextManager[Any]]
) -> None:
    for number in range(3):
        create(alpha, f"Line {number}", 1_000)
    owner.get("/o/alpha/sub-tokens/")
    with django_assert_max_num_queries(100) as few:
        owner.get("/o/alpha/sub-tokens/")
    for number in range(1000):
        make_sub_token(alpha, f"Camera {number}")
    with django_assert_max_num_queries(len(few)):
        answer = owner.get("/o/alpha/sub-tokens/")
    assert len(answer.context["rows"]) == 100
    rows = b"".join(owner.get("/o/alpha/sub-tokens.csv")).decode().splitlines()
    assert len(rows) == 1004


def test_a_developer_looks_and_does_nothing(owner: Client, alpha: Organization, bob: User) -> None:
    sub_token = create(alpha).sub_token
    owner.force_login(bob)
    page = owner.get(page_of(sub_token)).content.decode()
    for word in ("rotate/", "suspend/", "edit/", "Revoke"):
        assert word not in page
    assert 'name="ids"' not in owner.get("/o/alpha/sub-tokens/").content.decode()
    for act in ("edit/", "rotate/", "end-grace/", "suspend/", "resume/", "revoke/"):
        assert owner.post(page_of(sub_token, act), {"grace_hours": "0"}).status_code == HTTPStatus.FORBIDDEN
    assert bulk(owner, sub_token, act="suspend", confirm_name="suspend 1").status_code == HTTPStatus.FORBIDDEN
