"""Migrations begun anew: all the earlier ones go on, some are refused, and each function stands once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import psycopg
import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from portal.history import check_history
from tenants.migration_operations import SqlFile

BEGUN_ANEW = ("tenants", "billing", "detection")


def forget(app: str, *names: str) -> None:
    """Let the database have no record of these migrations."""
    recorder = MigrationRecorder(connection)
    for name in names:
        assert (app, name) in recorder.applied_migrations()
        recorder.record_unapplied(app, name)


def new_ones(app: str) -> dict[str, list[str]]:
    """The app's migrations of today that replace others, and which, in their order."""
    loader = MigrationLoader(connection)
    return {
        name: sorted(old for _, old in migration.replaces)
        for (label, name), migration in sorted(loader.disk_migrations.items())
        if label == app and migration.replaces
    }


def findings() -> list[str]:
    return [error.msg for error in check_history(app_configs=None, databases=["default"])]


@pytest.mark.parametrize("app", BEGUN_ANEW)
def test_a_database_that_has_all_earlier_migrations_goes_on(db: None, app: str) -> None:
    forget(app, *new_ones(app))
    assert findings() == []
    assert {(app, name) for name in new_ones(app)} <= MigrationLoader(connection).applied_migrations.keys()


@pytest.mark.parametrize("app", BEGUN_ANEW)
def test_a_database_in_the_middle_of_the_earlier_ones_is_refused_wherever_it_stands(db: None, app: str) -> None:
    replaced = sorted(old for names in new_ones(app).values() for old in names)
    forget(app, *new_ones(app))
    for last in reversed(replaced[1:]):
        forget(app, last)
        (finding,) = findings()
        before = replaced[replaced.index(last) - 1]
        assert finding.startswith("The database default has ")
        assert f"of {app}, up to {before}:" in finding
    forget(app, replaced[0])
    assert findings() == [], "it has none: the new ones make everything"


def test_migrate_itself_refuses_and_changes_nothing(db: None) -> None:
    forget("billing", *new_ones("billing"))
    forget("billing", "0030_lock_for_holds")
    before = MigrationRecorder(connection).applied_migrations().keys()
    with pytest.raises(SystemCheckError, match=r"portal\.E001.* 29 of the 30 earlier migrations of billing"):
        call_command("migrate", skip_checks=False, verbosity=0)
    assert MigrationRecorder(connection).applied_migrations().keys() == before


def test_new_migrations_that_were_interrupted_go_on(db: None) -> None:
    for name, replaced in reversed(new_ones("billing").items()):
        forget("billing", name, *replaced)
        assert findings() == [], name


def files() -> list[Path]:
    return [
        path
        for app in BEGUN_ANEW
        for path in sorted((Path(apps.get_app_config(app).path) / "migrations").rglob("*"))
        if path.suffix in {".py", ".sql"}
    ]


def test_the_text_of_each_function_and_trigger_stands_once(db: None) -> None:
    text = "\n".join(path.read_text() for path in files())
    functions = Counter(re.findall(r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)", text, re.MULTILINE))
    assert [name for name, count in functions.items() if count > 1] == []
    triggers = Counter(
        re.findall(r"^CREATE (?:OR REPLACE )?TRIGGER (\w+)\s.*?\bON (\w+)", text, re.MULTILINE | re.DOTALL)
    )
    assert [name for name, count in triggers.items() if count > 1] == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
        assert {name for (name,) in cursor.fetchall()} == set(functions), "found all that there are"


def test_every_file_of_sql_is_run_by_a_migration() -> None:
    root = Path(settings.BASE_DIR)
    for app in BEGUN_ANEW:
        migrations = "".join(path.read_text() for path in (root / app / "migrations").glob("0*.py"))
        run = re.findall(r'SqlFile\(__file__, "(\w+)"\)', migrations)
        assert sorted(run) == sorted(path.stem for path in (root / app / "migrations/sql").glob("*.sql"))


def test_a_later_migration_may_run_a_file_again(db: None) -> None:
    """All but the one that makes the table of calls: running them again changes nothing."""
    catalogue = """
        SELECT string_agg(text, E'\\n' ORDER BY text) FROM (
            SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') AS text FROM pg_proc
            WHERE pronamespace = 'public'::regnamespace
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT oid::regclass || coalesce(relacl::text, '') || coalesce(reloptions::text, '') FROM pg_class
        ) whole
    """
    migrations = Path(settings.BASE_DIR).glob("*/migrations/sql/*.sql")
    with psycopg.connect(**connections["owner"].get_connection_params()) as owner:
        before = owner.execute(catalogue).fetchone()
        for path in sorted(migrations):
            if path.stem != "calls":
                owner.execute(str(SqlFile(str(path.parent.with_name("0001.py")), path.stem).sql))
        assert owner.execute(catalogue).fetchone() == before
        owner.rollback()
