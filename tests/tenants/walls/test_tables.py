"""Every table of the database, as an outsider: no row of another organization is seen, changed or pointed to.

A new table is found by itself. It is either built on TenantModel and walled in by its migration, or listed here.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from tenants.identifiers import new_id
from tenants.models import Organization, TenantModel
from tenants.scope import organization_scope, platform_scope
from tests.factories.rows import Rows, tenant_models
from tests.factories.tenants import make_organization

pytestmark = pytest.mark.django_db

# Tables that belong to the platform or to a person, and why a tenant's data cannot be in them.
PLATFORM_TABLES = {
    "tenants_organization": "the tenants themselves; has walls of its own, tested in test_scope.py",
    "tenants_user": "persons",
    "tenants_user_groups": "Django's, for the platform's staff",
    "tenants_user_user_permissions": "Django's, for the platform's staff",
    "account_emailaddress": "persons' mail addresses",
    "account_emailconfirmation": "persons' mail addresses",
    "auth_group": "Django's, for the platform's staff",
    "auth_group_permissions": "Django's, for the platform's staff",
    "auth_permission": "Django's",
    "django_content_type": "Django's",
    "django_migrations": "Django's",
    "django_session": "persons' sessions",
    "mfa_authenticator": "persons' second factors",
    "usersessions_usersession": "where persons are signed in",
    "billing_code": "the platform's codes, hashed; the web's role cannot read them",
    "billing_codeset": "what the platform's codes are worth; the web's role cannot read it",
    "billing_package": "what the platform sells",
    "billing_plan": "what the platform sells",
    "billing_planprice": "what the platform sells",
    "billing_boostoffer": "what the platform sells",
    "billing_pricebook": "the platform's prices",
    "billing_reconciliationrun": "how Stripe's payments compare with the ledger; staff see it",
    "billing_stripeevent": "what Stripe sent, of all; no page but the staff's shows it",
    "billing_topuptier": "the platform's prices",
    "detection_model": "the platform's catalogue",
    "detection_modelversion": "the platform's catalogue",
    "detection_virtualtime": "how far the queue has come, for all",
}
# Columns that hold the id of something without pointing to it, and why.
LOOSE_IDS = {
    "tenants_auditevent.actor_id": "the log outlives who is in it",
    "tenants_auditevent.target_id": "the log outlives what is in it",
    "billing_hold.owner_id": "the job that it pays for, made in the same statement after it",
    "billing_alert.subject_id": "an alert outlives what it is about",
    "billing_alertmute.subject_id": "what an alert is about",
    "billing_webhookdelivery.event_id": "an alert, or the test that somebody sent",
    "detection_job.hold_id": "the hold that pays for it, made in the same statement before it",
    "detection_idempotentcall.job_id": "the call that it made, which goes with its week",
}
# Functions that pass the wall on purpose: the question comes before the scope is known.
DEFINER_FUNCTIONS = {
    "detection_make_partitions": "makes tables, which the role that runs the portal may not",
    "detection_drop_partition": "drops tables, which the role that runs the portal may not",
    "tenants_management_key_by_hash": "who asks with this secret?",
    "tenants_seal_audit": "the seal of an event: no role but the owner may write it, once",
    "tenants_retired_key_secret_by_hash": "until when does this secret work?",
    "tenants_frozen_at": "may anything be spent here?",
    "tenants_erase_audit": "may the audit log of this organization go, whose grace is over?",
    "tenants_organization_closing": "does this organization refuse calls?",
    "billing_anonymise_ledger": "may the names go out of this ledger, whose organization's grace is over?",
    "tenants_invitation_by_hash": "who comes with this link?",
    "billing_sub_token_by_hash": "who asks with this secret?",
    "billing_retired_secret_by_hash": "until when does this secret work?",
    "billing_rate_levels_by_hash": "how many requests may who has this secret make?",
}
# Tables that are summed up, thousands of rows at a time: their policies read the scope once for a query.
SCOPE_READ_ONCE = {
    "billing_dailyburn",
    "detection_dailyusage",
    "detection_hourlyusage",
    "detection_tagusage",
    "detection_weeklyusage",
    "detection_organizationday",
    "detection_organizationhour",
    "detection_organizationtag",
}
OTHER_POLICIES = {("tenants_membership", "own", "SELECT")}

TABLES = [pytest.param(model, id=model._meta.db_table) for model in tenant_models()]


@pytest.fixture
def worlds(db: None) -> tuple[Rows, Rows]:
    """Two more organizations; asking either for a table's row makes it."""
    return Rows(make_organization()), Rows(make_organization())


def query(sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def refused(sql: str, *parameters: Any) -> DatabaseError | None:
    """Return the database's refusal, or None if the statement touched no row; fail if it touched one."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            assert cursor.rowcount == 0, f"{cursor.rowcount} row(s) of another organization were touched"
    except DatabaseError as error:
        return error
    return None


def keys_between_tenants(table: str) -> dict[str, str]:
    """Return the columns with a composite foreign key to a tenant table, and these tables."""
    keys = query(
        "SELECT confrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid = %s::regclass",
        table,
    )
    tenants = {model._meta.db_table for model in tenant_models()}
    found = {}
    for target, definition in keys:
        composite = re.match(r"FOREIGN KEY \(org_id, (\w+)\) REFERENCES \w+\(org_id, id\)", definition)
        assert composite or target not in tenants, f"not composite, use TenantTable(references=...): {definition}"
        if composite:
            found[composite[1]] = target
    return found


def test_every_table_is_a_tenant_s_or_listed() -> None:
    found = {name for (name,) in query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    owned = {
        name
        for (name,) in query(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'org_id' AND table_schema = 'public'"
        )
    }
    modelled = {model._meta.db_table for model in tenant_models()}
    assert owned == modelled, "a table with org_id is built on TenantModel"
    assert found - owned == set(PLATFORM_TABLES), "a table without org_id is listed in PLATFORM_TABLES with the reason"


def test_no_view_looks_over_the_wall() -> None:
    views = query(
        "SELECT relname, COALESCE(array_to_string(reloptions, ','), '') FROM pg_class"
        " WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
    )
    assert [name for name, options in views if "security_invoker=true" not in options] == []


def test_functions_that_pass_the_wall_are_known_and_narrow() -> None:
    functions = query(
        "SELECT proname, COALESCE(array_to_string(proconfig, ','), ''),"
        " prorettype <> 'trigger'::regtype"
        " AND EXISTS (SELECT FROM aclexplode(COALESCE(proacl, acldefault('f', proowner))) WHERE grantee = 0)"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert {name for name, _, _ in functions} == set(DEFINER_FUNCTIONS)
    for name, config, public in functions:
        # Unnamed, the temporary schema comes first: a caller's temporary view would be read in the table's stead.
        assert re.search(r"search_path=[^;}]*public, pg_temp\b", config), f"{name} can be tricked by its caller"
        assert not public, f"{name} may be called by everybody"


@pytest.mark.parametrize("model", TABLES)
def test_the_wall_stands(model: type[TenantModel]) -> None:
    table = model._meta.db_table
    assert query("SELECT relrowsecurity FROM pg_class WHERE oid = %s::regclass", table) == [(True,)]
    policies = {
        (role, name, command, using, check)
        for role, name, command, using, check in query(
            "SELECT unnest(roles)::text, policyname, cmd, qual, with_check FROM pg_policies WHERE tablename = %s", table
        )
        if (table, name, command) not in OTHER_POLICIES
    }
    own = "(org_id = tokensight_org_id())"
    if table in SCOPE_READ_ONCE:
        own = "(org_id = ( SELECT tokensight_org_id() AS tokensight_org_id))"
    assert policies == {
        (settings.DATABASE_APP_ROLE, "tenant", "ALL", own, own),
        (settings.DATABASE_PLATFORM_ROLE, "platform", "ALL", "true", "true"),
    }
    keys = query(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'u' AND conrelid = %s::regclass", table
    )
    assert ("UNIQUE (org_id, id)",) in keys
    for privilege in ("TRUNCATE", "REFERENCES", "TRIGGER"):
        assert query("SELECT has_table_privilege(%s, %s)", table, privilege) == [(False,)]


@pytest.mark.parametrize("model", TABLES)
def test_what_points_to_another_tenant_table_is_a_composite_key(model: type[TenantModel]) -> None:
    table = model._meta.db_table
    keys = keys_between_tenants(table)
    for field in model._meta.concrete_fields:
        if field.remote_field and issubclass(field.related_model, TenantModel):
            assert keys.get(field.column) == field.related_model._meta.db_table, f"{table}.{field.column} has no wall"
        elif field.get_internal_type() == "UUIDField" and field.column not in {"id", *keys}:
            assert f"{table}.{field.column}" in LOOSE_IDS, "make it a key, or say in LOOSE_IDS why not"


@pytest.mark.parametrize("model", TABLES)
def test_an_outsider_sees_nothing(model: type[TenantModel], rows: tuple[Rows, Rows]) -> None:
    alpha, beta = rows
    table = model._meta.db_table
    with platform_scope("test data"):
        ours, theirs = alpha[model], beta[model]
    assert query(f"SELECT FROM {table}") == [], "no scope means no rows"
    with organization_scope(alpha.organization.id):
        seen = query(f"SELECT id, org_id FROM {table}")
        assert (ours.pk, alpha.organization.id) in seen, "the owner sees their own"
        assert {organization for _, organization in seen} == {alpha.organization.id}
        assert query(f"SELECT FROM {table} WHERE id = %s", theirs.pk) == []


@pytest.mark.parametrize("model", TABLES)
def test_an_outsider_changes_nothing(model: type[TenantModel], rows: tuple[Rows, Rows]) -> None:
    alpha, beta = rows
    table = model._meta.db_table
    with platform_scope("test data"):
        ours, theirs = alpha[model], beta[model]
        before = query(f"SELECT t::text FROM {table} t ORDER BY id")
    with organization_scope(alpha.organization.id):
        refused(f"UPDATE {table} SET created_at = now() WHERE id = %s", theirs.pk)
        refused(f"DELETE FROM {table} WHERE id = %s", theirs.pk)
        refused(f"DELETE FROM {table} WHERE org_id = %s", beta.organization.id)
        for act in (
            lambda: refused(f"UPDATE {table} SET org_id = %s WHERE id = %s", beta.organization.id, ours.pk),
            lambda: refused(f"TRUNCATE {table} CASCADE"),
        ):
            assert act() is not None
    with platform_scope("look"):
        assert query(f"SELECT t::text FROM {table} t ORDER BY id") == before


@pytest.mark.parametrize("model", TABLES)
def test_an_outsider_adds_nothing(model: type[TenantModel], worlds: tuple[Rows, Rows]) -> None:
    alpha, beta = worlds
    table = model._meta.db_table
    with platform_scope("test data"):
        for field in model._meta.concrete_fields:  # what a row points to exists: only the wall refuses it
            if field.remote_field and not field.null:
                beta[field.related_model]
    columns = ", ".join(field.column for field in model._meta.concrete_fields if not field.generated)
    with platform_scope("test data"), transaction.atomic():
        values = query(f"SELECT {columns} FROM {table} WHERE id = %s", beta.make(model).pk)[0]
        transaction.set_rollback(True)
    marks = ", ".join(["%s"] * len(values))
    with organization_scope(alpha.organization.id):
        refusal = refused(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values)
    assert "row-level security" in str(refusal)


@pytest.mark.parametrize("model", TABLES)
def test_nobody_points_into_another_organization(model: type[TenantModel], worlds: tuple[Rows, Rows]) -> None:
    alpha, beta = worlds
    table = model._meta.db_table
    models = {other._meta.db_table: other for other in tenant_models()}
    for column, target in keys_between_tenants(table).items():
        with platform_scope("even here"):
            alpha.make(model, **{column: alpha.make(models[target]).pk})
            theirs = beta.make(models[target])
            with pytest.raises(DatabaseError) as refusal, transaction.atomic():
                alpha.make(model, **{column: theirs.pk})
        assert f"{table}_{column}_tenant_fk" in str(refusal.value)


def test_an_organization_is_no_outsider_s_business(rows: tuple[Rows, Rows]) -> None:
    alpha, beta = rows
    with organization_scope(alpha.organization.id):
        assert list(Organization.objects.all()) == [alpha.organization]
        assert Organization.objects.filter(id=beta.organization.id).update(name="Mine") == 0
        assert Organization.objects.filter(id=beta.organization.id).delete()[0] == 0
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Organization.objects.create(id=new_id(), name="Third", slug="third")


def test_all_models_that_belong_to_somebody_are_walked() -> None:
    pointing = {
        model._meta.db_table
        for model in apps.get_models()
        if any(field.related_model is Organization for field in model._meta.concrete_fields if field.remote_field)
    }
    assert pointing == {model._meta.db_table for model in tenant_models()}
