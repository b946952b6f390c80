"""With a database of one's own, the restricted role is made through the owner, and the owner stays out of the way."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from portal.local.database import as_role, given_database
from portal.local.machine import require_redis
from portal.local.report import Failure


def test_the_restricted_role_gets_a_kept_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = os.environ["DATABASE_OWNER_URL"]
    monkeypatch.setenv("DATABASE_URL", owner)
    monkeypatch.delenv("DATABASE_OWNER_URL")
    urls = given_database(tmp_path)
    assert urls.owner == owner
    kept = tmp_path / "database-password"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert f":{kept.read_text()}@" in urls.app
    with psycopg.connect(urls.app) as connection:
        row = connection.execute(
            "SELECT current_user, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
    assert row == ("tokensight_app", False)
    assert given_database(tmp_path) == urls


def test_two_addresses_are_used_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://app@db/x")
    monkeypatch.setenv("DATABASE_OWNER_URL", "postgresql://owner@db/x")
    urls = given_database(tmp_path)
    assert (urls.app, urls.owner) == ("postgresql://app@db/x", "postgresql://owner@db/x")
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_database_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://owner@/x?host={tmp_path}")
    monkeypatch.delenv("DATABASE_OWNER_URL")
    with pytest.raises(Failure, match="DATABASE_URL cannot be reached") as refused:
        given_database(tmp_path)
    assert "\n" not in str(refused.value)


def test_what_is_no_address_is_told_without_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://owner:hidden@db/x")
    with pytest.raises(Failure, match="DATABASE_URL is no address") as refused:
        given_database(tmp_path)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "unix:///nowhere.sock?db=0", "nonsense"])
def test_a_redis_that_does_not_answer_is_told_in_a_line(url: str) -> None:
    with pytest.raises(Failure, match="REDIS_URL cannot be used") as refused:
        require_redis(url)
    assert "\n" not in str(refused.value)


def test_a_redis_that_answers_is_taken() -> None:
    require_redis(settings.REDIS_URL)


def test_a_password_with_any_character_fits_into_the_address() -> None:
    assert as_role("postgresql://owner:x@db:5433/name?sslmode=require", "app", "p/@:?") == (
        "postgresql://app:p%2F%40%3A%3F@db:5433/name?sslmode=require"
    )
