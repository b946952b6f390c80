from __future__ import annotations

from django.db import models
from django.utils import timezone

from tenants.identifiers import new_id


class TenantModel(models.Model):
    """A row that belongs to one organization.

    Its migration must list the table in `TenantTable` (tenants/migration_operations.py), which adds the row-level
    security and the `(org_id, id)` key that composite foreign keys point to.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, db_column="org_id", related_name="+", db_index=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        abstract = True


def tenant_key(
    to: str, *, null: bool = False, related_name: str = "+", db_column: str | None = None, db_index: bool = True
) -> models.ForeignKey:
    """Return a foreign key to another tenant table, whose constraint `(org_id, <column>)` the migration adds.

    Django cannot declare a composite foreign key, so the constraint is left to `TenantTable(references=...)`.
    Give `db_index=False` where nothing looks rows up by this column, or another index leads with it.
    """
    return models.ForeignKey(
        to,
        on_delete=models.PROTECT,
        null=null,
        blank=null,
        related_name=related_name,
        db_constraint=False,
        db_column=db_column,
        db_index=db_index,
    )
