"""Migration operations: files of SQL, and the walls between tenants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.db.migrations.operations import RunSQL


class SqlFile(RunSQL):
    """Run `sql/{name}.sql` beside the migration (`__file__`); @APP@ and @PLATFORM@ stand for the two roles."""

    def __init__(self, migration: str, name: str) -> None:
        self.migration, self.name = migration, name
        text = (Path(migration).parent / "sql" / f"{name}.sql").read_text()
        roles = {"@APP@": settings.DATABASE_APP_ROLE, "@PLATFORM@": settings.DATABASE_PLATFORM_ROLE}
        for mark, role in roles.items():
            text = text.replace(mark, role)
        super().__init__(sql=text)

    def deconstruct(self) -> tuple[str, list, dict]:
        return type(self).__name__, [self.migration, self.name], {}

    def describe(self) -> str:
        return f"Run sql/{self.name}.sql"


class TenantTable(RunSQL):
    """Wall in a table whose rows belong to one organization each.

    Adds the key `(org_id, id)`, composite foreign keys for `references` (pairs of column and table), grants for the
    restricted role, and row-level security: that role sees and writes only rows of the organization in scope, the
    platform role all rows. With `append_only`, neither role may change or delete a row, and a trigger refuses it to
    the owner too. Where many rows are read at a time, `scope_once` looks the scope up once for a query (as a subquery)
    and not for each row.
    """

    def __init__(
        self,
        table: str,
        *,
        references: Sequence[tuple[str, str]] = (),
        append_only: bool = False,
        scope_once: bool = False,
    ) -> None:
        self.table, self.references, self.append_only, self.scope_once = table, references, append_only, scope_once
        scope = "(SELECT tokensight_org_id())" if scope_once else "tokensight_org_id()"
        app, platform = settings.DATABASE_APP_ROLE, settings.DATABASE_PLATFORM_ROLE
        verbs = "SELECT, INSERT" if append_only else "SELECT, INSERT, UPDATE, DELETE"
        sql = [
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_org_id_id_key UNIQUE (org_id, id)",
            f"REVOKE ALL ON {table} FROM {app}, {platform}",
            f"GRANT {verbs} ON {table} TO {app}, {platform}",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY tenant ON {table} TO {app} USING (org_id = {scope}) WITH CHECK (org_id = {scope})",
            f"CREATE POLICY platform ON {table} TO {platform} USING (true) WITH CHECK (true)",
        ]
        reverse = [
            f"DROP POLICY tenant ON {table}",
            f"DROP POLICY platform ON {table}",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        ]
        for column, target in references:
            name = f"{table}_{column}_tenant_fk"
            sql.append(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} "
                f"FOREIGN KEY (org_id, {column}) REFERENCES {target} (org_id, id)"
            )
            reverse.insert(0, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        reverse.append(f"ALTER TABLE {table} DROP CONSTRAINT {table}_org_id_id_key")
        if append_only:
            sql.append(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION tokensight_refuse_change()"
            )
            reverse.insert(0, f"DROP TRIGGER append_only ON {table}")
        super().__init__(sql=tuple(sql), reverse_sql=tuple(reverse))

    def deconstruct(self) -> tuple[str, list, dict]:
        options = {"references": self.references, "append_only": self.append_only, "scope_once": self.scope_once}
        return type(self).__name__, [self.table], options

    def describe(self) -> str:
        return f"Wall in the tenant table {self.table}"
