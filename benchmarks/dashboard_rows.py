"""What `benchmarks.dashboard` looks at: one organization with 1,000 sub-tokens and as many calls as wanted.

The sub-tokens are made by the services; the calls, and what the ledger says of them, by statements that each make a
million. Resolved holds are left out: no page reads them. Import it with Django set up.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from billing.enums import AccountKind, GrantSource, SubTokenMode
from billing.services import accounts, allocations, grants
from billing.services.sub_tokens import create_sub_token
from detection.enums import Engine
from detection.services.catalogue import register_version
from detection.services.weeks import sum_up_weeks
from tenants.actors import PLATFORM
from tenants.models import Membership, Organization, Role, Team, User
from tenants.scope import organization_scope, platform_scope

SUB_TOKENS, TEAMS, DAYS = 1_000, 20, 90
MTOK_EACH = 10**9
PRICE_MTOK = 700
AT_ONCE = 1_000_000

# The n-th call comes at its place in the ninety days. A few sub-tokens make many of the calls, as they do; one in ten
# calls takes the second model, one in five bears tags, one in fifty fails.
_CALLS = """
CREATE TEMP TABLE call AS
WITH picked AS MATERIALIZED (
    SELECT n, floor(1000 * power(random(), 1.5))::int AS pick,
           %(start)s::timestamptz + (n * %(step)s) * interval '1 second' AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
)
SELECT n, at, tokens.number %% 40 AS number, tokens.id AS sub_token_id, tokens.account_id, tokens.grant_id,
       ((%(versions)s::uuid[]))[CASE WHEN n %% 10 = 0 THEN 2 ELSE 1 END] AS version_id, n %% 50 <> 0 AS succeeded,
       pg_temp.id_at(at) AS job_id, pg_temp.id_at(at + interval '40 milliseconds') AS transfer_id
FROM picked JOIN tokens ON tokens.number = picked.pick;
ANALYZE call
"""
_ID_AT = """
CREATE FUNCTION pg_temp.id_at(moment timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'
            || substr(replace(gen_random_uuid()::text, '-', ''), 14, 3)
            || '8' || substr(replace(gen_random_uuid()::text, '-', ''), 18, 15))::uuid
$$
"""
_JOBS = """
INSERT INTO detection_job (
    id, org_id, created_at, sub_token_id, hold_id, model_version_id, task, img_size, parameters, tags, status,
    priority_class, virtual_finish, wait, price_mtok, charged_mtok, price_book, cached, request_hash, request_id,
    client_ip, input_sha256, image_width, image_height, attempts, worker, claimed_at, started_at, finished_at, queue_ms,
    inference_ms, total_ms, error_code, error_detail, result, prediction_count)
SELECT job_id, %(org)s, at, sub_token_id, job_id, version_id, 'detect', 640,
       '{"conf": 0.25, "iou": 0.7, "max_det": 300, "classes": null}',
       CASE WHEN n %% 5 = 0 THEN jsonb_build_object('line', number::text, 'shift', (n %% 3)::text) ELSE '{}' END,
       CASE WHEN succeeded THEN 'succeeded' ELSE 'failed' END, 1, n, true, %(price)s,
       CASE WHEN succeeded THEN %(price)s ELSE 0 END, 1, false, md5(n::text), 'req-' || n, '192.0.2.7', md5(n::text),
       640, 640, 1, 'worker@one', at, at, at + interval '40 milliseconds', 2.5, 31.5, 40,
       CASE WHEN succeeded THEN '' ELSE 'inference_failed' END, '',
       CASE WHEN succeeded THEN
           '[{"bbox": [211.4, 96.2, 240.9, 121.7], "class_id": 1, "class_name": "short", "confidence": 0.93}]'::jsonb
       END, CASE WHEN succeeded THEN 1 END
FROM call ORDER BY n
"""
_TRANSFERS = """
INSERT INTO billing_transfer (id, org_id, created_at, kind, path, reference, reason, actor)
SELECT transfer_id, %(org)s, at + interval '40 milliseconds', 'capture', '{}', job_id::text, '', ''
FROM call WHERE succeeded ORDER BY n
"""
_ENTRIES = """
INSERT INTO billing_entry (id, org_id, created_at, transfer_id, account_id, grant_id, amount_mtok)
SELECT pg_temp.id_at(at + interval '40 milliseconds'), %(org)s, at + interval '40 milliseconds', transfer_id,
       leg.account_id, grant_id, leg.mtok
FROM call
CROSS JOIN LATERAL (VALUES (account_id, -%(price)s), (%(consumed)s::uuid, %(price)s)) AS leg (account_id, mtok)
WHERE succeeded ORDER BY n
"""
_BALANCES = """
UPDATE billing_lot lot SET posted_mtok = posted_mtok - spent.mtok
FROM (SELECT account_id, grant_id, count(*) * %(price)s AS mtok FROM call WHERE succeeded GROUP BY 1, 2) spent
WHERE lot.account_id = spent.account_id AND lot.grant_id = spent.grant_id;
UPDATE billing_account account SET posted_mtok = posted_mtok + moved.mtok
FROM (
    SELECT account_id, -count(*) * %(price)s AS mtok FROM call WHERE succeeded GROUP BY 1
    UNION ALL SELECT %(consumed)s::uuid, count(*) * %(price)s FROM call WHERE succeeded
) moved WHERE account.id = moved.account_id;
INSERT INTO billing_dailyburn AS burn (id, org_id, created_at, account_id, day, captured_mtok, captures)
SELECT gen_random_uuid(), %(org)s, now(), account_id,
       ((at + interval '40 milliseconds') AT TIME ZONE 'UTC')::date, count(*) * %(price)s, count(*)
FROM call WHERE succeeded GROUP BY 4, 5
ON CONFLICT (org_id, day, account_id) DO UPDATE
SET captured_mtok = burn.captured_mtok + excluded.captured_mtok, captures = burn.captures + excluded.captures;
DROP TABLE call;
"""
_COUNT = Path(__file__).with_name("dashboard_sums.sql").read_text()
_SUMS = (
    "hourlyusage",
    "dailyusage",
    "weeklyusage",
    "tagusage",
    "organizationhour",
    "organizationday",
    "organizationtag",
)
_BY_DAY = {
    "detection_hourlyusage": "hourly_usage_once",
    "detection_dailyusage": "daily_usage_once",
    "detection_tagusage": "tag_usage_once",
    "billing_dailyburn": "daily_burn_once_per_account",
}


def prepare() -> tuple[Organization, User]:
    """Make the organization, its teams, sub-tokens and models, and somebody who may look at all of it."""
    now = datetime.now(UTC)
    start = now - timedelta(days=DAYS)
    with platform_scope("benchmark"):
        for name in ("first-n", "second-s"):
            metadata = {
                "name": name, "version": "1", "task": "detect", "letter": name[-1], "family": "Null", "sha256": "",
                "classes": ["everything"], "default_img_size": 640, "stride": 32, "end_to_end": True,
            }  # fmt: skip
            register_version(metadata, path="", engine=Engine.NULL)
        organization = Organization.objects.create(id=uuid.uuid4(), name="Benchmark", slug="benchmark")
        user = User.objects.create_user("admin@benchmark.example", "correct-horse-battery-9", name="Admin")
        Membership.objects.create(organization=organization, user=user, role=Role.OWNER)
    wallet = accounts.open_wallet(organization.id, plan="enterprise")
    for number in range(3):
        grants.issue_grant(
            organization_id=organization.id, tokens_mtok=SUB_TOKENS * MTOK_EACH, source=GrantSource.PURCHASE,
            priority=40 + number, expires_at=now + timedelta(days=365), idempotency_key=f"{number}", now=start,
        )  # fmt: skip
    for number in range(TEAMS):
        with organization_scope(organization.id):
            team = Team.objects.create(organization=organization, name=f"Team {number:02}")
            pool = accounts.open_account(
                kind=AccountKind.TEAM_POOL, parent_id=wallet.id, team_id=team.id, label=team.name
            )
            allocations.allocate(
                from_account_id=wallet.id, to_account_id=pool.id, mtok=2 * MTOK_EACH * SUB_TOKENS // TEAMS,
                idempotency_key=f"team-{number}", now=start,
            )  # fmt: skip
            for member in range(SUB_TOKENS // TEAMS):
                create_sub_token(
                    organization_id=organization.id, name=f"Line {number:02}-{member:02}", mode=SubTokenMode.ALLOCATED,
                    mtok=MTOK_EACH, team_id=team.id, expires_at=now + timedelta(days=30), actor=PLATFORM, now=start,
                )  # fmt: skip
    return organization, user


def add_calls(url: str, organization: Organization, *, first: int, last: int, of: int) -> None:
    """Write the calls `first` to `last` of the `of` that will fill the ninety days, and count them."""
    start = datetime.now(UTC) - timedelta(days=DAYS)
    with psycopg.connect(url, autocommit=True) as owner:
        # Set-based rows of a kind that the triggers and keys were made to check one by one.
        owner.execute("SET session_replication_role = replica")
        owner.execute("SET work_mem = '256MB'")
        owner.execute(_ID_AT)
        owner.execute(
            "CREATE TEMP TABLE tokens AS"
            " SELECT row_number() OVER (ORDER BY token.id) - 1 AS number, token.id, token.account_id, lot.grant_id"
            " FROM billing_subtoken token"
            " JOIN LATERAL (SELECT grant_id FROM billing_lot WHERE account_id = token.account_id LIMIT 1) lot ON true"
            f" WHERE token.org_id = '{organization.id}'"
        )
        owner.execute("ANALYZE tokens")
        consumed = owner.execute(
            "SELECT id FROM billing_account WHERE kind = 'consumed' AND org_id = %s", [organization.id]
        ).fetchone()[0]
        versions = [row[0] for row in owner.execute(
            "SELECT version.id FROM detection_modelversion version JOIN detection_model model"
            " ON model.id = version.model_id WHERE model.family = 'Null' ORDER BY model.name"
        )]  # fmt: skip
        for begin in range(first, last + 1, AT_ONCE):
            began = time.monotonic()
            parameters = {
                "org": organization.id, "start": start, "step": DAYS * 86_400 / of, "first": begin,
                "last": min(begin + AT_ONCE - 1, last), "versions": versions, "price": PRICE_MTOK, "consumed": consumed,
            }  # fmt: skip
            for statements in (_CALLS, _JOBS, _TRANSFERS, _ENTRIES, _BALANCES):
                for statement in statements.split(";\n"):
                    if statement.strip():
                        psycopg.ClientCursor(owner).execute(statement, parameters)
            print(f"    {parameters['last']:>12,} calls ({time.monotonic() - began:.0f} s)", flush=True)
        for table in _SUMS:
            owner.execute(f"TRUNCATE detection_{table}")
        for statement in _COUNT.split(";\n"):
            if statement.strip():
                owner.execute(statement)
        # Rows of a day lie together, as they do where they are made day by day.
        for table, key in _BY_DAY.items():
            owner.execute(f"CLUSTER {table} USING {key}")
        sum_up_weeks(now=datetime.now(UTC))
        owner.execute("VACUUM ANALYZE")
        owner.execute("CHECKPOINT")
