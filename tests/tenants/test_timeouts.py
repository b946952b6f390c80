"""The restricted role cannot keep the database busy for ever."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope

pytestmark = pytest.mark.django_db


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return cursor.fetchone()[0]


def test_the_role_has_its_timeouts(alpha: Organization) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert [setting(name) for name in names] == ["30s", "10s", "2min"]
    with organization_scope(alpha.id):
        assert setting("statement_timeout") == "30s"
    with platform_scope("a sweeper"):
        assert setting("statement_timeout") == "30s"


def test_work_at_night_may_take_its_time_and_only_that(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        with platform_scope("the night", patient=True):
            assert setting("statement_timeout") == "0"
        assert setting("statement_timeout") == "30s"


def test_a_statement_that_takes_too_long_is_ended(alpha: Organization) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(OperationalError, match="statement timeout"), transaction.atomic():
            cursor.execute("SELECT pg_sleep(5)")
