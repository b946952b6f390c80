"""All that an organization has here, as one ZIP of CSV files, in bounded memory."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Field, JSONField
from django.db.models.fields import DateTimeField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from detection.models import ModelVersion
from tenants.models import Organization, TenantModel, User
from tenants.scope import organization_scope

ROWS_AT_ONCE = 2000
# What the portal keeps for itself: answers of requests, mails on their way, the queue's clocks.
LEFT_OUT = {"idempotencyrecord", "idempotentcall", "outboxmail", "fairshareclock", "crossing"}
# A column that could open something, or that is a fingerprint of what does.
SECRET_WORDS = ("secret", "hash", "password", "sealed")

# What most people look for first.
CONTENTS = (
    ("people.csv", gettext_lazy("who user ids are")),
    ("models.csv", gettext_lazy("which model a model_version_id is")),
    ("tenants_membership.csv", gettext_lazy("who belongs here, and as what")),
    ("tenants_team.csv", gettext_lazy("teams")),
    ("billing_account.csv", gettext_lazy("wallet, pools and sub-tokens' accounts, with what they have")),
    ("billing_subtoken.csv", gettext_lazy("sub-tokens and their policies")),
    ("billing_grant.csv", gettext_lazy("Tokens that came in")),
    ("billing_transfer.csv", gettext_lazy("movements of Tokens")),
    ("billing_entry.csv", gettext_lazy("what each movement put into or took out of an account; sums to zero")),
    ("billing_payment.csv", gettext_lazy("what was paid")),
    ("detection_job.csv", gettext_lazy("calls with their results")),
    ("detection_dailyusage.csv", gettext_lazy("sums of calls by day, sub-token and model")),
    ("tenants_auditevent.csv", gettext_lazy("the audit log")),
)


def exported_models() -> list[type[TenantModel]]:
    """Return the models whose rows are exported, in the order of their names."""
    found = (model for model in apps.get_models() if issubclass(model, TenantModel))
    return sorted(
        (model for model in found if model._meta.model_name not in LEFT_OUT), key=lambda model: _file_of(model)
    )


def exported_fields(model: type[TenantModel]) -> list[Field]:
    """Return the columns that are exported: all but secrets."""
    return [
        field
        for field in model._meta.concrete_fields
        if field.name != "organization" and not any(word in field.name for word in SECRET_WORDS)
    ]


def export_zip(organization_id: UUID) -> Iterator[bytes]:
    """Return the ZIP, part by part: `README.txt` in the language that is active, `organization.json`, `people.csv`,
    `models.csv`, and a CSV for each kind of row of which there is any.

    Amounts are in mtok (0.001 Token), times RFC 3339 in UTC. Every batch of rows is read in a transaction of its own,
    so the export of an organization that is at work shows its tables a few moments apart.
    """
    return _parts(organization_id, readme())


def _parts(organization_id: UUID, text_of_readme: str) -> Iterator[bytes]:
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        with organization_scope(organization_id):
            organization = Organization.objects.get(id=organization_id)
            people = list(
                User.objects.filter(memberships__organization_id=organization_id).values_list("id", "email", "name")
            )
        facts = {name: str(getattr(organization, name)) for name in ("id", "name", "slug", "created_at")}
        archive.writestr("README.txt", text_of_readme)
        archive.writestr("organization.json", json.dumps(facts, ensure_ascii=False, indent=2))
        archive.writestr("people.csv", _csv([("id", "email", "name"), *people]))
        archive.writestr("models.csv", _csv([("model_version_id", "model", "version"), *_model_versions()]))
        yield pipe.take()
        for model in exported_models():
            if not _has_rows(model, organization_id):
                continue
            with archive.open(f"{_file_of(model)}.csv", "w", force_zip64=True) as file:
                for text in _tables(model, organization_id):
                    file.write(text.encode())
                    if part := pipe.take():
                        yield part
            yield pipe.take()
    yield pipe.take()


def readme() -> str:
    """Return what is in the files, in the language that is active."""
    return "\n".join(
        [
            _("Everything that your organization has at Tokensight, without secrets. A kind without rows has no file."),
            "",
            _("Columns that end with _mtok are in thousandths of a Token, with _minor in a currency's smallest unit."),
            _("Times are in UTC. Columns that end with _id name the row with this id in another file:"),
            "",
            *(f"  {name}: {what}" for name, what in CONTENTS),
            "",
        ]
    )


def _model_versions() -> list[tuple[Any, ...]]:
    return list(ModelVersion.objects.order_by("model__name", "version").values_list("id", "model__name", "version"))


def _has_rows(model: type[TenantModel], organization_id: UUID) -> bool:
    with organization_scope(organization_id):
        return model._default_manager.filter(organization_id=organization_id).exists()


class _Pipe(io.RawIOBase):
    """A file that only goes on; what was written is taken out at the other end."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        whole = b"".join(self._parts)
        self._parts.clear()
        return whole


def _file_of(model: type[TenantModel]) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


def _tables(model: type[TenantModel], organization_id: UUID) -> Iterator[str]:
    fields = exported_fields(model)
    yield _csv([[field.attname for field in fields]])
    last: UUID | None = None
    while True:
        with organization_scope(organization_id):
            rows = model._default_manager.filter(organization_id=organization_id).order_by("id")
            if last is not None:
                rows = rows.filter(id__gt=last)
            batch = list(rows.values_list("id", *[field.attname for field in fields])[:ROWS_AT_ONCE])
        if not batch:
            return
        yield _csv([[_text(field, value) for field, value in zip(fields, row[1:], strict=True)] for row in batch])
        last = batch[-1][0]


def _text(field: Field, value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(field, JSONField) or isinstance(value, (list, dict)):
        return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
    return value.isoformat() if isinstance(field, DateTimeField) else value


def _csv(rows: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
