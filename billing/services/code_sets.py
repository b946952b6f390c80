"""Making and ending codes, which staff do. Their terms never change: what was promised stays true."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import transaction
from django.utils.translation import gettext as _

from billing.codes import hash_code, hint_of, new_code, read_code
from billing.enums import CodeBenefit
from billing.errors import CodesMade, CodeTermsInvalid, CodeUnknown
from billing.models import Code, CodeSet
from tenants.scope import platform_scope

log = structlog.get_logger(__name__)

MOST_CODES, MOST_USES, MOST_DAYS = 10_000, 1_000_000, 3650
AMOUNTS = (CodeBenefit.TOKENS, CodeBenefit.BONUS_TOKENS)
MOST_PERCENT = {CodeBenefit.BONUS_PERCENT: 1000, CodeBenefit.DISCOUNT_PERCENT: 90}


@dataclass(frozen=True, kw_only=True)
class CodeTerms:
    """What codes are worth and how often. `tokens_mtok` for amounts, `percent` for percents; None: no bound."""

    name: str
    benefit: CodeBenefit
    tokens_mtok: int | None = None
    percent: int | None = None
    count: int = 1
    uses_per_code: int = 1
    uses_per_organization: int | None = 1
    first_purchase_only: bool = False
    valid_days: int | None = None
    expires_at: datetime | None = None

    @property
    def most_mtok(self) -> int | None:
        """Return how many Tokens (mtok) these codes give at most, None for percents, which depend on purchases."""
        return None if self.tokens_mtok is None else self.tokens_mtok * self.count * self.uses_per_code


@dataclass(frozen=True)
class MadeCodes:
    """A set and its codes as they are shown: here, and never again."""

    code_set: CodeSet
    codes: list[str]


def check_terms(terms: CodeTerms, *, now: datetime) -> None:
    """Raise CodeTermsInvalid unless codes can be made like this."""
    if not terms.name.strip():
        raise CodeTermsInvalid("name", _("Give the codes a name by which staff find them."))
    if terms.benefit in AMOUNTS:
        if not terms.tokens_mtok or terms.tokens_mtok <= 0 or terms.percent is not None:
            raise CodeTermsInvalid("tokens", _("Say how many Tokens a use gives, and no percent."))
    elif terms.percent is None or not 1 <= terms.percent <= MOST_PERCENT[terms.benefit] or terms.tokens_mtok:
        most = MOST_PERCENT[terms.benefit]
        raise CodeTermsInvalid("percent", _("Say a percent from 1 to %(most)d, and no Tokens.") % {"most": most})
    if terms.first_purchase_only and terms.benefit == CodeBenefit.TOKENS:
        raise CodeTermsInvalid("first_purchase_only", _("Tokens at once need no purchase, so no first one either."))
    for field, value, most in (
        ("count", terms.count, MOST_CODES),
        ("uses_per_code", terms.uses_per_code, MOST_USES),
        ("uses_per_organization", terms.uses_per_organization, MOST_USES),
        ("valid_days", terms.valid_days, MOST_DAYS),
    ):
        if value is not None and not 1 <= value <= most:
            raise CodeTermsInvalid(field, _("This must be a number from 1 to %(most)d.") % {"most": most})
    if terms.expires_at is not None and terms.expires_at <= now:
        raise CodeTermsInvalid("expires_at", _("Codes must end in the future."))


def make_codes(*, terms: CodeTerms, made_by: str, reason: str, idempotency_key: str, now: datetime) -> MadeCodes:
    """Make a set of codes, and return them: only their hashes are kept.

    Opens the platform's scope; locks nothing. Raises CodeTermsInvalid, and CodesMade when the key was used before.
    """
    check_terms(terms, now=now)
    codes = [new_code() for _number in range(terms.count)]
    with transaction.atomic(), platform_scope("make codes"):
        code_set, made = CodeSet.objects.get_or_create(
            idempotency_key=idempotency_key,
            defaults={
                "created_at": now,
                "name": terms.name,
                "benefit": terms.benefit,
                "tokens_mtok": terms.tokens_mtok,
                "percent": terms.percent,
                "valid_days": terms.valid_days,
                "uses_per_organization": terms.uses_per_organization,
                "first_purchase_only": terms.first_purchase_only,
                "expires_at": terms.expires_at,
                "made_by": made_by,
                "reason": reason,
            },
        )
        if not made:
            raise CodesMade
        Code.objects.bulk_create(
            Code(
                code_set=code_set,
                created_at=now,
                secret_hash=hash_code(read_code(code) or ""),
                hint=hint_of(code),
                max_uses=terms.uses_per_code,
            )
            for code in codes
        )
    log.info("codes_made", code_set=str(code_set.id), benefit=terms.benefit.value, count=terms.count, made_by=made_by)
    return MadeCodes(code_set, codes)


def end_code_set(*, code_set_id: uuid.UUID, ended_by: str, now: datetime) -> CodeSet:
    """Let no code of a set be used any more. Who was promised something at an open checkout still gets it.

    Opens the platform's scope; locks the set. Raises CodeUnknown. Ending it twice does nothing.
    """
    with platform_scope("end codes"):
        code_set = CodeSet.objects.select_for_update(no_key=True).filter(id=code_set_id).first()
        if code_set is None:
            raise CodeUnknown
        if code_set.ended_at is None:
            code_set.ended_at, code_set.ended_by = now, ended_by
            code_set.save(update_fields=["ended_at", "ended_by"])
            log.info("codes_ended", code_set=str(code_set.id), ended_by=ended_by)
    return code_set


def end_code(*, code_set_id: uuid.UUID, code_id: uuid.UUID, ended_by: str, now: datetime) -> Code:
    """Let one code of a set be used no more, as when it got into the wrong hands. As `end_code_set` otherwise."""
    with platform_scope("end a code"):
        code = Code.objects.select_for_update(no_key=True).filter(code_set_id=code_set_id, id=code_id).first()
        if code is None:
            raise CodeUnknown
        if code.ended_at is None:
            code.ended_at = now
            code.save(update_fields=["ended_at"])
            log.info("code_ended", code=str(code.id), hint=code.hint, ended_by=ended_by)
    return code
