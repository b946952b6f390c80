"""The last use of a sub-token is written by the scheduler, never by a call."""

from collections.abc import Iterator
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from billing.models import SubToken
from billing.services import last_used
from billing.services.last_used import note_use, write_last_used
from billing.services.redis import resume
from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope
from tests.factories.sub_tokens import make_sub_token

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_noted() -> Iterator[None]:
    resume()
    last_used._noted_at.clear()
    yield
    last_used._noted_at.clear()
    resume()


def test_uses_are_written_in_one_round(alpha: Organization, beta: Organization) -> None:
    now = timezone.now().replace(microsecond=0)
    mine, _ = make_sub_token(alpha)
    theirs, _ = make_sub_token(beta)
    note_use(mine.id, "198.51.100.7", now)
    note_use(theirs.id, None, now)
    assert write_last_used() == 2
    with platform_scope("test"):
        found = {row.id: (row.last_used_at, row.last_used_ip) for row in SubToken.objects.all()}
    assert found == {mine.id: (now, "198.51.100.7"), theirs.id: (now, None)}
    assert write_last_used() == 0


def test_a_call_writes_nothing_itself(alpha: Organization, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    sub_token, _ = make_sub_token(alpha)
    with django_assert_num_queries(0):
        note_use(sub_token.id, "198.51.100.7", timezone.now())


def test_a_process_notes_a_sub_token_once_a_minute(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    sub_token, _ = make_sub_token(alpha)
    clock = [1000.0]
    monkeypatch.setattr(last_used, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    first = timezone.now()
    note_use(sub_token.id, "198.51.100.7", first)
    clock[0] += 59
    note_use(sub_token.id, "198.51.100.8", first + timedelta(seconds=59))
    write_last_used()
    clock[0] += 2
    note_use(sub_token.id, "198.51.100.9", first + timedelta(seconds=61))
    with organization_scope(alpha.id):
        assert SubToken.objects.get().last_used_ip == "198.51.100.7"
    assert write_last_used() == 1
    with organization_scope(alpha.id):
        assert SubToken.objects.get().last_used_ip == "198.51.100.9"


def test_an_older_note_changes_nothing(alpha: Organization) -> None:
    now = timezone.now()
    sub_token, _ = make_sub_token(alpha, last_used_at=now)
    note_use(sub_token.id, "198.51.100.7", now - timedelta(minutes=5))
    assert write_last_used() == 0


def test_without_redis_nothing_is_noted_and_nothing_breaks(alpha: Organization, settings: Settings) -> None:
    sub_token, _ = make_sub_token(alpha)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    note_use(sub_token.id, "198.51.100.7", timezone.now())
    assert write_last_used() == 0
