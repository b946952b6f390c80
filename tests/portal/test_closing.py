"""Deleting an organization: the grace, what it refuses, the export, and what is left at the end."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import timedelta
from http import HTTPStatus

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.utils import timezone

from billing.models import Account, Entry, Grant, Transfer
from billing.services.holds import Capture, capture_holds
from billing.services.verify import verify_ledger
from detection.models import Job
from portal.services import erasure
from portal.services.erasure import LEDGER, NAMELESS, erase_due_organizations, erased_models
from portal.services.export import export_zip, exported_fields, exported_models
from tenants.actors import PLATFORM, user_actor
from tenants.errors import NotClosing, OwnersOnly
from tenants.identifiers import new_id
from tenants.models import AuditEvent, Membership, Organization, OutboxMail, Role, Team, User
from tenants.scope import organization_scope, platform_scope
from tenants.services.audit import record, seal_events
from tenants.services.closing import GRACE, request_deletion, undo_deletion
from tests.api_client import ApiClient, body, manager_of
from tests.factories.billing import make_hold, make_wallet
from tests.factories.rows import Rows, tenant_models
from tests.factories.sub_tokens import make_sub_token
from tests.factories.tenants import make_membership, make_team, make_user
from tests.tenants.confirming import confirmed

pytestmark = pytest.mark.django_db


@pytest.fixture
def key(alpha: Organization) -> str:
    """The secret of a management key that may do everything a key may."""
    return str(manager_of(alpha).secret)


def close(organization: Organization, owner: User, *, days_ago: int = 0) -> None:
    now = timezone.now() - timedelta(days=days_ago)
    with organization_scope(organization.id):
        request_deletion(organization_id=organization.id, actor=user_actor(owner.id, owner.email), now=now)


def state(organization: Organization) -> Organization:
    with platform_scope("test"):
        return Organization.objects.get(id=organization.id)


class TestTheGrace:
    """Between asking for the deletion and the end of the grace."""

    def test_an_owner_confirms_with_name_and_password(self, alpha: Organization, alice: User) -> None:
        client = Client()
        client.force_login(alice)
        path, form = "/o/alpha/closing/request/", {"confirm_name": "Alpha"}
        assert client.post(path, form)["Location"].startswith("/accounts/reauthenticate/")
        client = confirmed(alice)
        client.post(path, {"confirm_name": "alfa"})
        assert state(alpha).deletion_requested_at is None
        client.post(path, form)
        assert state(alpha).deletion_due_at - timezone.now() > GRACE - timedelta(minutes=1)
        with organization_scope(alpha.id):
            assert OutboxMail.objects.get(kind="organization_closing").recipient == alice.email

    def test_nobody_but_an_owner_can(self, alpha: Organization, bob: User) -> None:
        admin = make_membership(alpha, role=Role.ADMIN).user
        for user in (admin, bob):
            client = confirmed(user)
            for path in ("request/", "undo/", "export.zip"):
                answer = client.post(f"/o/alpha/closing/{path}", {"confirm_name": "Alpha"})
                assert answer.status_code == HTTPStatus.FORBIDDEN
            with pytest.raises(OwnersOnly):
                close(alpha, user)
        with organization_scope(alpha.id), pytest.raises(OwnersOnly):
            request_deletion(organization_id=alpha.id, actor=PLATFORM, now=timezone.now())

    def test_every_call_is_refused_with_a_clear_code(
        self, alpha: Organization, alice: User, key: str, fresh_process: None
    ) -> None:
        _, secret = make_sub_token(alpha)
        close(alpha, alice)
        for credential, path in ((key, "/v1/members"), (secret, "/v1/balance"), (secret, "/v1/models")):
            answer = ApiClient(credential).get(path)
            assert (answer.status_code, body(answer)["code"]) == (HTTPStatus.FORBIDDEN, "organization_closing"), path
        call = ApiClient(secret).raw("POST", "/v1/detect?model=pcb-defect-n", b"x", "image/jpeg")
        assert body(call)["code"] == "organization_closing"

    def test_pages_lead_to_the_one_that_says_so(self, alpha: Organization, alice: User, bob: User) -> None:
        close(alpha, alice)
        client = Client()
        client.force_login(bob)
        for path in ("/o/alpha/", "/o/alpha/members/", "/o/alpha/calls/"):
            assert client.get(path)["Location"] == "/o/alpha/closing/"
        assert client.post("/o/alpha/members/leave/", {"confirm_name": "Alpha"})["Location"] == "/o/alpha/closing/"
        assert "is being deleted" in client.get("/o/alpha/closing/").content.decode()

    def test_undone_everything_works_again(
        self, alpha: Organization, alice: User, key: str, fresh_process: None
    ) -> None:
        close(alpha, alice)
        client = Client()
        client.force_login(alice)
        client.post("/o/alpha/closing/undo/")
        assert client.get("/o/alpha/members/").status_code == HTTPStatus.OK
        assert ApiClient(key).get("/v1/members").status_code == HTTPStatus.OK
        assert erase_due_organizations(timezone.now() + timedelta(days=100)) == 0

    def test_too_late_is_too_late(self, alpha: Organization, alice: User) -> None:
        close(alpha, alice, days_ago=15)
        with organization_scope(alpha.id), pytest.raises(NotClosing):
            undo_deletion(organization_id=alpha.id, actor=user_actor(alice.id, alice.email), now=timezone.now())

    def test_the_page_says_in_numbers_what_goes(self, alpha: Organization, alice: User, bob: User, key: str) -> None:
        make_wallet(alpha, 12_345)
        make_sub_token(alpha)
        client = Client()
        client.force_login(alice)
        page = client.get("/o/alpha/closing/").content.decode()
        for words in ("2 members lose access", "1 sub-token", "and 1 management key", "12.345"):
            assert words in page


class TestTheExport:
    """The ZIP with all that an organization has."""

    def archive(self, organization: Organization) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(b"".join(export_zip(organization.id))))

    def test_it_has_every_table_and_no_secret(self, alpha: Organization, beta: Organization) -> None:
        with platform_scope("test data"):
            ours, theirs = Rows(alpha), Rows(beta)
            for model in tenant_models():
                ours[model], theirs[model]
            hashes = [
                row.secret_hash for rows in (ours, theirs) for row in rows._made.values() if hasattr(row, "secret_hash")
            ]
        archive = self.archive(alpha)
        assert archive.testzip() is None
        for model in exported_models():
            name = f"{model._meta.app_label}_{model._meta.model_name}.csv"
            rows = list(csv.DictReader(io.StringIO(archive.read(name).decode())))
            assert str(ours[model].pk) in {row["id"] for row in rows}, name
            assert set(rows[0]) == {field.attname for field in exported_fields(model)}
        everything = b"".join(archive.read(name) for name in archive.namelist()).decode()
        assert not [value for value in hashes if value in everything]
        assert str(beta.id) not in everything
        for model in tenant_models():
            assert str(theirs[model].pk) not in everything
        assert json.loads(archive.read("organization.json"))["slug"] == "alpha"
        transaction.set_rollback(True)

    def test_it_says_what_is_in_it_and_has_no_empty_file(self, alpha: Organization) -> None:
        make_wallet(alpha, 12_345)
        archive = self.archive(alpha)
        text = archive.read("README.txt").decode()
        assert "thousandths of a Token" in text
        named = {line.split(":")[0].strip() for line in text.splitlines() if ".csv:" in line}
        every = {f"{model._meta.app_label}_{model._meta.model_name}.csv" for model in exported_models()}
        assert named <= every | {"people.csv", "models.csv"}, "what is told of exists"
        for name in archive.namelist():
            if name.endswith(".csv") and name not in {"people.csv", "models.csv"}:
                assert len(archive.read(name).decode().splitlines()) > 1, name
        assert "billing_grant.csv" in archive.namelist()
        assert "billing_refund.csv" not in archive.namelist()

    def test_the_models_of_calls_have_names(self, alpha: Organization) -> None:
        with platform_scope("test data"):
            assert Rows(alpha)[Job]
        archive = self.archive(alpha)
        (job,) = csv.DictReader(io.StringIO(archive.read("detection_job.csv").decode()))
        versions = csv.DictReader(io.StringIO(archive.read("models.csv").decode()))
        assert job["model_version_id"] in {row["model_version_id"] for row in versions}

    def test_who_has_to_confirm_first_comes_back_to_the_button(self, alpha: Organization, alice: User) -> None:
        client = Client()
        client.force_login(alice)
        answer = client.post("/o/alpha/closing/export.zip")
        assert answer["Location"] == "/accounts/reauthenticate/?next=%2Fo%2Falpha%2Fclosing%2F"
        assert "press Export again" in client.get(answer["Location"]).content.decode()
        with organization_scope(alpha.id):
            assert not AuditEvent.objects.filter(action="organization.exported").exists()

    def test_more_rows_than_a_batch_come_all_and_once(
        self, alpha: Organization, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("portal.services.export.ROWS_AT_ONCE", 3)
        for _ in range(10):
            make_team(alpha)
        rows = list(csv.DictReader(io.StringIO(self.archive(alpha).read("tenants_team.csv").decode())))
        assert len(rows) == len({row["id"] for row in rows}) == 10

    def test_the_owner_downloads_it_also_while_closing(self, alpha: Organization, alice: User) -> None:
        close(alpha, alice)
        answer = confirmed(alice).post("/o/alpha/closing/export.zip")
        assert answer["Content-Type"] == "application/zip"
        archive = zipfile.ZipFile(io.BytesIO(b"".join(answer)))  # type: ignore[arg-type]
        assert alice.email in archive.read("people.csv").decode()
        with organization_scope(alpha.id):
            assert AuditEvent.objects.filter(action="organization.exported").exists()


class TestTheEnd:
    """After the grace."""

    def test_only_the_nameless_ledger_is_left(self, alpha: Organization, beta: Organization, alice: User) -> None:
        with platform_scope("test data"):
            for rows in (Rows(alpha), Rows(beta)):
                for model in tenant_models():
                    rows[model]
        close(alpha, alice, days_ago=15)
        before = {model: self.count(model, beta) for model in tenant_models()}
        assert erase_due_organizations(timezone.now()) == 1
        left = {model for model in tenant_models() if self.count(model, alpha)}
        assert left == LEDGER | NAMELESS
        assert {model: self.count(model, beta) for model in tenant_models()} == before
        organization = state(alpha)
        assert (organization.name, organization.slug) == ("–", f"deleted-{alpha.id.hex}")
        assert organization.deleted_at is not None
        with organization_scope(alpha.id):
            assert Team.objects.get().name == str(Team.objects.get().id)
            assert set(Transfer.objects.values_list("actor", "reason")) == {("", "")}
            assert set(Grant.objects.values_list("actor", "reason")) == {("", "")}
            assert set(Account.objects.values_list("label", flat=True)) == {""}
        assert User.objects.filter(id=alice.id).exists(), "a person is more than one of their organizations"
        assert erase_due_organizations(timezone.now()) == 0
        transaction.set_rollback(True)

    def count(self, model: type, organization: Organization) -> int:
        with platform_scope("look"):
            return int(model.objects.filter(organization=organization).count())

    def test_an_account_that_only_its_provider_opened_goes_with_it(
        self, alpha: Organization, beta: Organization, alice: User
    ) -> None:
        people = [make_user(f"{name}@boards.example") for name in ("dana", "erik")]
        for person in people:
            person.set_unusable_password()
            person.save()
            make_membership(alpha, person, Role.VIEWER)
        make_membership(beta, people[1], Role.VIEWER)
        close(alpha, alice, days_ago=15)
        erase_due_organizations(timezone.now())
        left = User.objects.filter(id__in=[person.id for person in [*people, alice]])
        assert {person.email for person in left} == {people[1].email, alice.email}

    def test_the_ledger_still_adds_up(self, alpha: Organization, alice: User) -> None:
        wallet = make_wallet(alpha, 50_000)
        hold = make_hold(wallet, 1_000)
        with platform_scope("test"):
            capture_holds(captures=[Capture(hold.hold_id, 700, new_id())], now=timezone.now())
        entries = self.entries(alpha)
        close(alpha, alice, days_ago=15)
        erase_due_organizations(timezone.now())
        assert self.entries(alpha) == entries
        assert verify_ledger(now=timezone.now()).passed

    def entries(self, organization: Organization) -> list[tuple[object, ...]]:
        with organization_scope(organization.id):
            return list(Entry.objects.order_by("id").values_list("id", "account_id", "grant_id", "amount_mtok"))

    def test_nothing_goes_before_its_time(self, alpha: Organization, alice: User) -> None:
        close(alpha, alice, days_ago=13)
        assert erase_due_organizations(timezone.now()) == 0
        for function in ("tenants_erase_audit", "billing_anonymise_ledger"):
            with pytest.raises(DatabaseError, match="grace"), platform_scope("test"), transaction.atomic():
                erasure._call(function, alpha.id)
        with organization_scope(alpha.id):
            assert AuditEvent.objects.exists()

    def test_the_setting_alone_opens_no_append_only_table(self, alpha: Organization, alice: User) -> None:
        close(alpha, alice, days_ago=15)
        for statement in ("DELETE FROM tenants_auditevent", "UPDATE billing_transfer SET reason = 'x'"):
            script = f"SELECT set_config('tokensight.erasing', 'on', true); {statement}"
            with pytest.raises(DatabaseError), platform_scope("test"), connection.cursor() as cursor:
                cursor.execute(script)

    def test_sealed_events_go_too_and_it_goes_on_where_it_was_stopped(
        self, alpha: Organization, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(erasure, "ROWS_AT_ONCE", 2)
        for number in range(7):
            with organization_scope(alpha.id):
                record(
                    organization_id=alpha.id,
                    actor=PLATFORM,
                    action=f"test.{number}",
                    target_kind="organization",
                    target_id=alpha.id,
                    now=timezone.now(),
                )
        close(alpha, alice, days_ago=15)
        seal_events(now=timezone.now())
        assert erase_due_organizations(timezone.now(), stop=lambda: True) == 0
        assert state(alpha).deleted_at is None
        assert erase_due_organizations(timezone.now()) == 1
        with platform_scope("look"):
            assert not AuditEvent.objects.filter(organization=alpha).exists()
            assert not Membership.objects.filter(organization=alpha).exists()

    def test_every_table_is_known_to_stay_or_go(self) -> None:
        assert set(erased_models()) | LEDGER | NAMELESS | erasure.SEALED == set(tenant_models())
