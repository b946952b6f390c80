"""The restricted role cannot keep the database busy for ever."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection, transaction

from tenants.models import Organization
from tenants.scope import organization_scope, platform_scope

pytestmark = pytest.mark.django_db
HERE = "2min"


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return cursor.fetchone()[0]


def test_the_role_has_its_timeouts(alpha: Organization) -> None:
    with connection.cursor() as cursor:
        # In the tests' own database it is more patient.
        cursor.execute(
            "SELECT setconfig FROM pg_db_role_setting WHERE setdatabase = 0 AND setrole = current_user::regrole"
        )
        (its,) = cursor.fetchone()
    assert {"statement_timeout=30s", "lock_timeout=10s", "idle_in_transaction_session_timeout=120s"} <= set(its)
    with organization_scope(alpha.id):
        assert setting("statement_timeout") == HERE
    with platform_scope("a sweeper"):
        assert setting("statement_timeout") == HERE


def test_work_at_night_may_take_its_time_and_only_that(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        with platform_scope("the night", patient=True):
            assert setting("statement_timeout") == "0"
        assert setting("statement_timeout") == HERE


def test_a_statement_that_takes_too_long_is_ended(alpha: Organization) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(OperationalError, match="statement timeout"), transaction.atomic():
            cursor.execute("SELECT pg_sleep(5)")
