"""The chain of audit events: what anybody, even the owner of the tables, did to it behind the portal's back shows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, connections, transaction
from django.db.models import Field
from django.utils import timezone

from tenants.actors import PLATFORM, user_actor
from tenants.models import AuditChain, AuditCheck, AuditEvent, Organization
from tenants.queries.audit import export_line
from tenants.queries.audit_chain import ChainReport, read_chain
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit
from tenants.services.audit_verify import verify_audit, verify_chain

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 21, 8, 0, 0, 123456, tzinfo=UTC)


def record(organization: Organization, name: str, **facts: object) -> AuditEvent:
    with organization_scope(organization.id):
        return audit.record(
            organization_id=organization.id,
            actor=user_actor(organization.id, "alice@alpha.example", "203.0.113.9"),
            action="team.created",
            target_kind="team",
            target_id=organization.id,
            after={"name": name, **facts},
            reason="Zeile „3“ 产线\n\t\\ \x01 \x7f",
            now=NOW,
        )


def seal(organization: Organization) -> int:
    return audit.seal_events_of(organization_id=organization.id, now=NOW)


def stored(organization: Organization) -> list[AuditEvent]:
    with organization_scope(organization.id):
        return list(AuditEvent.objects.order_by("sequence"))


def check(organization: Organization) -> ChainReport:
    return verify_chain(organization_id=organization.id, now=timezone.now())


def kinds(report: ChainReport) -> list[tuple[str, int | None]]:
    return [(finding["kind"], finding["sequence"]) for finding in report.findings]


@contextmanager
def as_owner() -> Iterator[psycopg.Connection]:
    """Write as the owner of the tables, with every trigger off: what no role of the portal can do."""
    with psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True) as owner:
        owner.execute("SET session_replication_role = replica")
        yield owner


@pytest.fixture
def chained(committed_db: None, alpha: Organization) -> Organization:
    """Alpha with five sealed events, verified once."""
    for number in range(1, 6):
        record(
            alpha, f"Line {number}", mtok=number * 10, limits=[1, 2.5, None, True], deep={"b": 1, "aa": "x", "c": {}}
        )
    seal(alpha)
    assert check(alpha).passed
    return alpha


def test_events_are_sealed_one_after_the_other(alpha: Organization, beta: Organization) -> None:
    for name in ("One", "Two"):
        record(alpha, name)
        record(beta, name)
    assert audit.seal_events(now=NOW) == 4
    assert audit.seal_events(now=NOW) == 0
    for organization in (alpha, beta):
        first, second = stored(organization)
        assert (first.sequence, second.sequence) == (1, 2)
        assert first.previous_hash == ""
        assert second.previous_hash == first.hash
        assert len(second.hash) == 64
        with organization_scope(organization.id):
            chain = AuditChain.objects.get()
        assert (chain.sequence, chain.hash) == (2, second.hash)
    assert stored(alpha)[0].hash != stored(beta)[0].hash


def test_what_was_rolled_back_leaves_no_gap(alpha: Organization) -> None:
    with transaction.atomic():
        record(alpha, "Never")
        transaction.set_rollback(True)
    record(alpha, "Kept")
    seal(alpha)
    assert [event.sequence for event in stored(alpha)] == [1]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants_auditevent SET actor_name = 'somebody else'",
        "UPDATE tenants_auditevent SET sequence = 7, hash = 'x'",
        "DELETE FROM tenants_auditevent",
        "UPDATE tenants_auditchain SET sequence = 0, hash = ''",
        "DELETE FROM tenants_auditchain",
        "DELETE FROM tenants_auditcheck",
    ],
)
@pytest.mark.parametrize("scope", [platform_scope, organization_scope])
def test_no_role_of_the_portal_can_touch_it(statement: str, scope: object, alpha: Organization) -> None:
    record(alpha, "Line 1")
    check(alpha)
    argument = "tamper" if scope is platform_scope else alpha.id
    with pytest.raises(DatabaseError), scope(argument), connection.cursor() as cursor:  # type: ignore[operator]
        cursor.execute(statement)
    assert check(alpha).passed


def test_the_owner_too_is_refused_while_the_triggers_stand(chained: Organization) -> None:
    with psycopg.connect(**connections["owner"].get_connection_params(), autocommit=True) as owner:
        for statement in (
            "UPDATE tenants_auditevent SET reason = 'other' WHERE sequence = 2",
            "UPDATE tenants_auditevent SET sequence = NULL WHERE sequence = 2",
            "DELETE FROM tenants_auditevent WHERE sequence = 2",
            "TRUNCATE tenants_auditevent CASCADE",
        ):
            with pytest.raises(psycopg.errors.RestrictViolation):
                owner.execute(statement)


def test_nobody_brings_a_seal_along(alpha: Organization) -> None:
    forged = AuditEvent(organization=alpha, actor_kind="user", actor_name="x", action="x", target_kind="x")
    forged.target_id, forged.sequence, forged.hash = alpha.id, 1, "0" * 64
    with pytest.raises(DatabaseError, match="sealed by"), organization_scope(alpha.id):
        forged.save(force_insert=True)


def test_an_altered_event_shows(chained: Organization) -> None:
    for column, value in (("actor_name", "mallory"), ("after", '{"name": "Line 0"}'), ("ip", "192.0.2.66")):
        with as_owner() as owner:
            (old,) = owner.execute(f"SELECT {column}::text FROM tenants_auditevent WHERE sequence = 3").fetchone()
            owner.execute(f"UPDATE tenants_auditevent SET {column} = %s WHERE sequence = 3", [value])
        assert kinds(check(chained)) == [("altered", 3)]
        with as_owner() as owner:
            owner.execute(f"UPDATE tenants_auditevent SET {column} = %s WHERE sequence = 3", [old])
        assert check(chained).passed


# Another value for a column of each kind, as SQL.
OTHER = {
    "CharField": "'other'",
    "TextField": "'other'",
    "DateTimeField": "created_at + interval '1 microsecond'",
    "UUIDField": "gen_random_uuid()",
    "JSONField": "jsonb_build_object('x', 1)",
    "GenericIPAddressField": "'192.0.2.99'",
}
SEAL = {"sequence", "previous_hash", "hash"}
COVERED = [field for field in AuditEvent._meta.concrete_fields if field.name not in SEAL | {"organization"}]


@pytest.mark.parametrize("field", COVERED, ids=lambda field: field.column)
def test_every_fact_is_covered_by_the_hash(field: Field, chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute(
            f"UPDATE tenants_auditevent SET {field.column} = {OTHER[field.get_internal_type()]} WHERE sequence = 2"
        )
    assert kinds(check(chained)) == [("altered", 2)]


def test_a_missing_event_shows(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence = 2")
    assert kinds(check(chained)) == [("missing", 2)]


def test_a_missing_first_event_shows(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence = 1")
    assert kinds(check(chained)) == [("missing", 1)]


def test_a_missing_event_shows_even_if_the_rest_moves_up(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence = 4")
        owner.execute("UPDATE tenants_auditevent SET sequence = 4 WHERE sequence = 5")
    assert ("altered", 4) in kinds(check(chained))


def test_events_in_another_order_show(chained: Organization) -> None:
    with as_owner() as owner:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            owner.execute("UPDATE tenants_auditevent SET sequence = %s WHERE sequence = %s", [new, old])
    found = kinds(check(chained))
    assert {("altered", 2), ("altered", 3)} <= set(found)


def test_an_event_with_its_own_hash_made_anew_shows_in_the_next(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("UPDATE tenants_auditevent SET actor_name = 'mallory' WHERE sequence = 3")
        owner.execute(
            "UPDATE tenants_auditevent e SET hash = tenants_audit_hash(e, sequence, previous_hash) WHERE sequence = 3"
        )
    assert kinds(check(chained)) == [("unlinked", 4)]


def test_a_chain_cut_off_at_its_end_shows(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence > 3")
    assert ("cut_off", 3) in kinds(check(chained))


def test_everything_gone_shows(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent")
    assert ("cut_off", 0) in kinds(check(chained))


def test_a_chain_cut_off_together_with_its_end_shows_by_an_earlier_verification(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence > 3")
        owner.execute(
            "UPDATE tenants_auditchain c SET sequence = 3, hash = e.hash FROM tenants_auditevent e WHERE e.sequence = 3"
        )
    assert kinds(check(chained)) == [("rewritten", 5)]


def test_a_chain_written_anew_as_a_whole_shows_by_an_earlier_verification(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("UPDATE tenants_auditevent SET actor_name = 'mallory' WHERE sequence = 1")
        owner.execute("UPDATE tenants_auditevent SET sequence = NULL, previous_hash = '', hash = ''")
        owner.execute("UPDATE tenants_auditchain SET sequence = 0, hash = ''")
    seal(chained)
    assert kinds(check(chained)) == [("rewritten", 5)]


def test_an_event_put_in_between_shows(chained: Organization) -> None:
    with as_owner() as owner:
        owner.execute("UPDATE tenants_auditevent SET sequence = 6 WHERE sequence = 5")
        owner.execute("CREATE TEMP TABLE forged AS SELECT * FROM tenants_auditevent WHERE sequence = 4")
        owner.execute("UPDATE forged SET sequence = 5, id = gen_random_uuid()")
        owner.execute("INSERT INTO tenants_auditevent SELECT * FROM forged")
    assert {("altered", 5), ("altered", 6)} <= set(kinds(check(chained)))


def test_a_scheduler_that_does_not_seal_shows(alpha: Organization) -> None:
    record(alpha, "Line 1")
    with platform_scope("look"):
        assert read_chain(alpha.id, NOW + timedelta(minutes=1)).passed
        late = read_chain(alpha.id, NOW + timedelta(hours=1))
    assert kinds(late) == [("unsealed", None)]


def test_long_chains_are_read_in_pieces(alpha: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(25):
        record(alpha, f"Line {number}")
    monkeypatch.setattr("tenants.queries.audit_chain.EVENTS_AT_ONCE", 10)
    monkeypatch.setattr("tenants.services.audit.SEALED_AT_ONCE", 10)
    report = check(alpha)
    assert (report.events, report.sequence, report.passed) == (25, 25, True)


def test_the_command_says_what_is_wrong_and_exits_so(chained: Organization, beta: Organization) -> None:
    out = StringIO()
    call_command("audit_verify", stdout=out)
    assert "Every chain is whole." in out.getvalue()
    with as_owner() as owner:
        owner.execute("DELETE FROM tenants_auditevent WHERE sequence = 2")
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("audit_verify", stdout=out)
    assert ended.value.code == 1
    assert "alpha:\n  missing: sequence 2, events 1" in out.getvalue()
    call_command("audit_verify", "--organization", "beta", stdout=StringIO())
    report = verify_audit(now=NOW, organization_slug="alpha")
    assert (report.organizations, report.finding_count, list(report.off)) == (1, 1, ["alpha"])


def test_each_result_is_kept(chained: Organization) -> None:
    with organization_scope(chained.id):
        kept = AuditCheck.objects.get()
    assert (kept.events, kept.sequence, kept.passed, len(kept.hash)) == (5, 5, True, 64)


def test_an_export_is_verified_without_the_database(chained: Organization, tmp_path: Path) -> None:
    lines = [json.dumps(export_line(event)) for event in reversed(stored(chained))]
    path = tmp_path / "audit.jsonl"
    path.write_text("\n".join(lines) + "\n")
    out = StringIO()
    call_command("audit_verify", "--export", str(path), stdout=out)
    assert "5 sealed event(s), 4 link(s)" in out.getvalue()
    path.write_text("\n".join(lines).replace("Line 3", "Line 8") + "\n")
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_verify", "--export", str(path), stdout=out)
    assert "line 3: event 3 is not what was sealed" in out.getvalue()


def test_sealing_waits_for_nobody_s_money_and_nobody_waits_for_it(chained: Organization) -> None:
    """A transaction that recorded an event and is still open holds no lock that the chain needs, and the reverse."""
    with psycopg.connect(**connections["default"].get_connection_params()) as other:
        other.execute("SELECT set_config('tokensight.org_id', %s, true)", [str(chained.id)])
        other.execute(
            "INSERT INTO tenants_auditevent SELECT (r).* FROM (SELECT jsonb_populate_record(e, jsonb_build_object("
            "'id', gen_random_uuid(), 'sequence', null, 'previous_hash', '', 'hash', '')) r"
            " FROM tenants_auditevent e WHERE sequence = 1) s"
        )
        record(chained, "Beside it")
        assert seal(chained) == 1
        other.commit()
    assert seal(chained) == 1
    assert check(chained).passed


def test_a_platform_s_act_is_recorded_without_a_request(alpha: Organization) -> None:
    with organization_scope(alpha.id):
        event = audit.record(
            organization_id=alpha.id,
            actor=PLATFORM,
            action="grant.issued",
            target_kind="grant",
            target_id=alpha.id,
            now=NOW,
        )
    assert (event.ip, event.user_agent, event.session, event.request_id) == (None, "", "", "")
