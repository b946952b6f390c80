"""An organization with six weeks behind it, for pictures. Import it with Django set up, beside a running product.

Made by the services, each at its moment. Its names are long and in two scripts, as people's are.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.core.management import call_command

from billing.enums import SubTokenMode
from billing.models import SubToken
from billing.pricing import price_mtok
from billing.queries.price_books import active_price_book
from billing.services.holds import place_hold
from billing.services.sub_tokens import create_sub_token
from detection.enums import JobError, JobStatus
from detection.models import Job, ModelVersion
from detection.services.settlement import Outcome, settle
from portal.services import demo
from tenants.actors import PLATFORM
from tenants.identifiers import first_id_at
from tenants.models import Organization, Role
from tenants.scope import organization_scope, platform_scope
from tenants.services.memberships import add_member
from tenants.services.teams import create_team

NAME = "Helio Circuits"
WEEKS = 6
PER_DAY = 24
DAILY_SHARE = (1.0, 1.1, 1.05, 1.2, 0.9, 0.3, 0.2)  # Monday to Sunday
BUSY_DAY = 11  # so many days ago, and three times as much as else
FAILS = 0.03
CLIENT = "203.0.113.24"
# Name, team, where its Tokens are, how many, and in how many days it ends.
SUB_TOKENS = (
    ("Line 1, camera after reflow", "Assembly", "allocated", 700, 90),
    ("Line 2, camera after reflow", "Assembly", "allocated", 300, 90),
    ("三号线 回流焊后光学检测 上方相机", "Assembly", "capped", 1_000, 60),
    ("Incoming goods", "Warehouse, Shenzhen and Suzhou", "allocated", 150, 5),
    ("lab-notebook", "Laboratory", "allocated", 60, 30),
)
BOXES = [
    {"bbox": [411.9, 136.2, 443.1, 167.0], "class_id": 5, "class_name": "pin_hole", "confidence": 0.944},
    {"bbox": [512.4, 361.0, 542.2, 391.3], "class_id": 2, "class_name": "mouse_bite", "confidence": 0.875},
]


def live(now: datetime) -> dict[str, Any]:
    """Open the organization, let it work until `now`, and return how its owner and a viewer sign in."""
    begin = now - timedelta(weeks=WEEKS)
    opened: dict[str, Any] = demo._seed(demo.DemoOrganization(NAME, "admin@helio.example", 4_500, ()), {}, begin)
    with platform_scope("pictures"):
        organization = Organization.objects.get(slug=opened["organization"])
        version = ModelVersion.objects.filter(model__name="pcb-defect-n").order_by("-created_at")[0]
    teams: dict[str, UUID] = {}
    spenders = []
    with organization_scope(organization.id):
        for name, team, mode, tokens, days in SUB_TOKENS:
            if team not in teams:
                teams[team] = create_team(
                    organization_id=organization.id, name=team, actor=PLATFORM, now=begin
                ).id  # fmt: skip
            made = create_sub_token(
                organization_id=organization.id, name=name, mode=SubTokenMode(mode), mtok=tokens * 1000,
                team_id=teams[team], expires_at=now + timedelta(days=days), actor=PLATFORM, now=begin,
            )  # fmt: skip
            spenders.append(made.sub_token)
    _work(spenders, version.id, begin, now)
    return opened | {"viewer": _viewer(organization.id, begin)}


def _viewer(organization_id: UUID, begin: datetime) -> dict[str, str]:
    user, password = demo._person("viewer@helio.example", None)
    user.name = "Aleksandra Wiśniewska-Brzęczyszczykiewicz"
    user.save(update_fields=["name"])
    with organization_scope(organization_id):
        add_member(organization_id=organization_id, user=user, role=Role.VIEWER, actor=PLATFORM, now=begin)
    return {"email": user.email, "password": password}


def _work(spenders: list[Any], version_id: UUID, begin: datetime, now: datetime) -> None:
    chance = random.Random(7)
    last: dict[UUID, datetime] = {}
    for ago in range(WEEKS * 7, -1, -1):
        midnight = (now - timedelta(days=ago)).replace(hour=0, minute=0, second=0, microsecond=0)
        share = DAILY_SHARE[midnight.weekday()] * (3 if ago == BUSY_DAY else 1) * chance.uniform(0.75, 1.25)
        moments = (midnight + timedelta(seconds=chance.triangular(6 * 3600, 20 * 3600, 10 * 3600)) for _ in range(99))
        for moment in sorted(itertools.islice(moments, round(PER_DAY * share))):
            if begin < moment < now:
                spender = chance.choices(spenders, weights=(12, 6, 8, 3, 1))[0]
                _call(spender, version_id, moment, chance)
                last[spender.id] = moment
    with organization_scope(spenders[0].organization_id):
        for sub_token_id, moment in last.items():
            SubToken.objects.filter(id=sub_token_id).update(last_used_at=moment, last_used_ip=CLIENT)


def _call(spender: Any, version_id: UUID, moment: datetime, chance: random.Random) -> None:

    job_id = UUID(int=first_id_at(moment).int | 0x7 << 76 | 0x8 << 60 | chance.getrandbits(56))
    size = chance.choices((480, 640, 960, 1280), weights=(3, 4, 2, 2))[0]
    price = price_mtok(active_price_book(), letter="n", img_size=size)
    done = moment + timedelta(milliseconds=chance.triangular(38, 240, 60))
    held = place_hold(
        organization_id=spender.organization_id, account_id=spender.account_id, amount_mtok=price,
        idempotency_key=str(job_id), owner_id=job_id, deadline=moment + timedelta(weeks=2 * WEEKS), now=moment,
    )  # fmt: skip
    with organization_scope(spender.organization_id):
        Job.objects.create(
            id=job_id, organization_id=spender.organization_id, created_at=moment, sub_token_id=spender.id,
            hold_id=held.hold_id, model_version_id=version_id, task="detect", img_size=size,
            parameters={"conf": 0.25, "iou": 0.7, "max_det": 300, "classes": None}, price_mtok=price, price_book=1,
            request_hash="", request_id=str(job_id), client_ip=CLIENT, input_sha256=sha256(job_id.bytes).hexdigest(),
            image_width=640, image_height=640, status=JobStatus.RUNNING, attempts=1, worker="worker@one",
            queue_ms=chance.triangular(0.4, 9, 1.6),
            claimed_at=moment, started_at=moment, lease_expires_at=done + timedelta(hours=1),
        )  # fmt: skip
    took = (done - moment).total_seconds() * 1000 - 6
    if chance.random() < FAILS:
        outcome = Outcome(job_id, 1, error_code=JobError.INFERENCE_FAILED, error_detail="The engine gave up.")
    else:
        outcome = Outcome(job_id, 1, BOXES[: chance.randrange(3)], 640, 640, took)
    settle(outcomes=[outcome], worker="worker@one", now=done)


def main() -> None:
    """Make it, and print how to sign in."""
    made = live(datetime.now(UTC))
    call_command("ledger_verify", stdout=sys.stderr)
    print(json.dumps(made))
