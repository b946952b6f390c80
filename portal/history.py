"""Whether a database stands where its migrations can go on from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


@register(Tags.database)
def check_history(
    *, app_configs: Sequence[AppConfig] | None, databases: Collection[str] | None, **options: Any
) -> list[CheckMessage]:
    """Refuse to migrate a database that has some of the migrations which newer ones replace (docs/adr/0018), not all.

    Django would stop as well, but name models that are missing.
    """
    loader = MigrationLoader(None, load=False)
    loader.load_disk()
    replaced_by = {old: new for new, migration in loader.disk_migrations.items() for old in migration.replaces}
    replaced: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for old in replaced_by:
        replaced[old[0]].add(old)
    errors: list[CheckMessage] = []
    for alias in databases or ():
        applied = MigrationRecorder(connections[alias]).applied_migrations().keys()
        for app, names in sorted(replaced.items()):
            there = names & applied
            # A new one that ran has marked what it replaces: somebody interrupted them, and they go on.
            if there != names and any(replaced_by[old] not in applied for old in there):
                errors.append(
                    Error(
                        f"The database {alias} has {len(there)} of the {len(names)} earlier migrations of {app},"
                        f" up to {max(name for _, name in there)}: the new ones cannot go on from there.",
                        hint="Migrate it with the last version that has them all, then with this one: docs/backup.md.",
                        id="portal.E001",
                    )
                )
    return errors
