"""What must hold after any number of kills. Imported once Django is set up for the database that was stormed."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import timedelta
from decimal import Decimal

from django.utils import timezone

from billing.models import Entry, Hold, Transfer
from billing.services.verify import verify_ledger
from detection.enums import FINISHED, JobStatus
from detection.models import Job
from detection.queries.usage_check import disagreements
from tenants.models import Organization
from tenants.scope import platform_scope
from tenants.services.audit_verify import verify_audit
from tests.chaos.callers import Callers


def everything(callers: Callers) -> list[str]:
    """Return what is off, in words; nothing if all is well."""
    with platform_scope("test"):
        return [
            *_accepted_jobs_are_over(callers),
            *_nothing_is_charged_twice(),
            *_answers_match_their_captures(callers),
            *_allocations_moved_once(callers),
            *_nothing_is_held(),
            *_sums_of_usage_agree(),
            *_books_are_clean(),
        ]


def summary() -> dict[str, int]:
    """Return how many jobs came to what end."""
    with platform_scope("test"):
        return dict(Counter(
            " ".join(filter(None, [job.status, job.error_code, "cached" * job.cached])) for job in Job.objects.all()
        ))  # fmt: skip


def _captured() -> dict[str, list[int]]:
    """Return what was captured for each job, once for each capture (mtok)."""
    found: dict[str, list[int]] = defaultdict(list)
    for transfer in Transfer.objects.filter(kind="capture"):
        legs = Entry.objects.filter(transfer=transfer, amount_mtok__gt=0).values_list("amount_mtok", flat=True)
        found[transfer.reference].append(sum(legs))
    return found


def _accepted_jobs_are_over(callers: Callers) -> list[str]:
    jobs = {str(job.id): job.status for job in Job.objects.all()}
    accepted = [answer.job_id for answer in callers.answers if answer.status == 202]
    lost = [f"accepted job {job_id} is gone" for job_id in accepted if job_id not in jobs]
    hanging = [f"job {job_id} is {status}" for job_id, status in jobs.items() if status not in FINISHED]
    return lost + hanging


def _nothing_is_charged_twice() -> list[str]:
    captures, charged_keys = _captured(), Counter[str]()
    off = [f"job {job_id} was captured {len(parts)} times" for job_id, parts in captures.items() if len(parts) != 1]
    for job in Job.objects.all():
        parts = captures.pop(str(job.id), [])
        if sum(parts) != job.charged_mtok:
            off.append(f"job {job.id} ({job.status}) says {job.charged_mtok} mtok, its captures {sum(parts)}")
        if job.charged_mtok and job.status != JobStatus.SUCCEEDED:
            off.append(f"job {job.id} was charged and is {job.status}")
        if job.charged_mtok and job.idempotency_key:
            charged_keys[job.idempotency_key] += 1
    off += [f"key {key} was charged {times} times" for key, times in charged_keys.items() if times > 1]
    return off + [f"a capture for {job_id}, which is no job" for job_id in captures]


def _answers_match_their_captures(callers: Callers) -> list[str]:
    jobs, captures, off = {str(job.id): job for job in Job.objects.all()}, _captured(), []
    by_key: dict[str, set[str]] = defaultdict(set)
    for answer in callers.answers:
        by_key[answer.key].add(answer.job_id)
        job = jobs.get(answer.job_id)
        if answer.tokens is None:
            continue
        if job is None or job.status != JobStatus.SUCCEEDED:
            off.append(f"answered 200 for {answer.job_id}, which is {job.status if job else 'gone'}")
        elif Decimal(sum(captures.get(answer.job_id, []))) / 1000 != answer.tokens:
            off.append(f"answered {answer.tokens} Token for {answer.job_id}, captured {captures.get(answer.job_id)}")
        elif not answer.cached and answer.tokens == 0:
            off.append(f"{answer.job_id} was done for nothing")
    return off + [f"key {key} answered with {ids}" for key, ids in by_key.items() if len(ids) > 1]


def _allocations_moved_once(callers: Callers) -> list[str]:
    # Of those that never got an answer it is not known whether they moved.
    moved = Transfer.objects.filter(kind="allocation").count() - 1
    if not len(callers.moved) <= moved <= len(callers.tried_to_move):
        return [f"{len(callers.moved)} allocations were confirmed, {moved} made"]
    return []


def _nothing_is_held() -> list[str]:
    return [f"hold {hold.id} is open" for hold in Hold.objects.filter(status="held")]


def _sums_of_usage_agree() -> list[str]:
    since = (timezone.now() - timedelta(days=1)).date()
    return [
        f"usage: {line}"
        for organization_id in Organization.objects.values_list("id", flat=True)
        for line in disagreements(organization_id, since=since)
    ]


def _books_are_clean() -> list[str]:
    report = verify_ledger(now=timezone.now())
    audit = verify_audit(now=timezone.now())
    off = [str(organization) for organization in report.off]
    return off + [f"audit log of {slug}: {chain.findings}" for slug, chain in audit.off.items()]
