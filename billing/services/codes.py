"""Redeeming codes: a use is taken, and its Tokens are credited, in one transaction, or neither.

Order of locks: the code, then the organization's uses of its set, then the organization's accounts.
"""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import F

from billing.codes import hash_code, read_code
from billing.enums import CodeBenefit, GrantSource, RedemptionStatus
from billing.errors import (
    CodeForFirstPurchase,
    CodeForPurchases,
    CodeInvalid,
    CodeMistyped,
    CodeUsedBefore,
    IdempotencyMismatch,
)
from billing.models import Code, CodeRedemption, Grant
from billing.services.code_guesses import check_guesses
from billing.services.grants import issue_grant
from tenants.actors import Actor
from tenants.identifiers import new_id
from tenants.scope import organization_scope, platform_scope
from tenants.services import audit

_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('codes:' || %s || ':' || %s, 0))"


def redeem_code(
    *, organization_id: uuid.UUID, typed: str, actor: Actor, idempotency_key: str, now: datetime
) -> CodeRedemption:
    """Credit the Tokens of a code at once, and return its use with its grant.

    The same key again returns the first use. Opens its own scope; locks the code, then the wallet and the issued
    account. Raises CodeMistyped, TooManyGuesses, CodeInvalid (note it as a guess once this is rolled back),
    CodeUsedBefore, CodeForPurchases, IdempotencyMismatch.
    """
    with organization_scope(organization_id):
        code, earlier = find_code(
            organization_id=organization_id, typed=typed, actor=actor, idempotency_key=idempotency_key, now=now
        )
        if earlier is not None:
            return earlier
        code_set = code.code_set
        if code_set.benefit != CodeBenefit.TOKENS or code_set.tokens_mtok is None:
            raise CodeForPurchases
        slot = take_use(code, organization_id=organization_id)
        redemption_id = new_id()
        grant = grant_of_code(
            organization_id=organization_id,
            redemption_id=redemption_id,
            hint=code.hint,
            tokens_mtok=code_set.tokens_mtok,
            valid_days=code_set.valid_days,
            reference=f"code:{redemption_id}",
            actor=actor,
            now=now,
        )
        redemption = CodeRedemption.objects.create(
            id=redemption_id,
            organization_id=organization_id,
            created_at=now,
            status=RedemptionStatus.REDEEMED,
            slot=slot,
            tokens_mtok=code_set.tokens_mtok,
            grant=grant,
            idempotency_key=idempotency_key,
            actor=str(actor),
            settled_at=now,
            **terms_of(code),
        )
        audit.record(
            organization_id=organization_id,
            actor=actor,
            action="code.redeemed",
            target_kind="code",
            target_id=redemption_id,
            after={"prefix": code.hint, "mtok": code_set.tokens_mtok, "expires_at": grant.expires_at},
            now=now,
        )
    return redemption


def find_code(
    *, organization_id: uuid.UUID, typed: str, actor: Actor, idempotency_key: str, now: datetime
) -> tuple[Code, CodeRedemption | None]:
    """Return the code that somebody typed, with its set, and what an earlier call with this key did with it.

    Without an earlier call the code works for this organization, and stays locked until the transaction ends. Unknown,
    ended, expired and used up by others are one answer, after the same questions to the database. Needs the
    organization's scope. Raises CodeMistyped, TooManyGuesses, CodeInvalid, CodeUsedBefore, CodeForFirstPurchase,
    IdempotencyMismatch.
    """
    characters = read_code(typed)
    if characters is None:
        raise CodeMistyped
    check_guesses(organization_id=organization_id, actor=actor, now=now)
    with platform_scope("look a code up"):
        code = (
            Code.objects.select_related("code_set")
            .select_for_update(no_key=True, of=("self",))
            .filter(secret_hash=hash_code(characters))
            .first()
        )
    ours = CodeRedemption.objects.filter(organization_id=organization_id)
    earlier = ours.filter(idempotency_key=idempotency_key).first()
    used_here = ours.filter(code_id=code.id if code else organization_id, slot__isnull=False).exists()
    if earlier is not None and (code is None or earlier.code_id != code.id):
        raise IdempotencyMismatch("This idempotency key was used before, for another code.")
    if code is None or (earlier is None and (code.ended_at or code.code_set.status_at(now) != "active")):
        raise CodeInvalid
    if earlier is not None:
        return code, earlier
    if code.uses >= code.max_uses:
        # Who has used it up knows that already.
        raise CodeUsedBefore if used_here else CodeInvalid
    if code.code_set.first_purchase_only and has_bought(organization_id):
        raise CodeForFirstPurchase
    return code, None


def has_bought(organization_id: uuid.UUID) -> bool:
    """Return whether an organization has paid for Tokens before. Needs its scope."""
    return Grant.objects.filter(organization_id=organization_id, source=GrantSource.PURCHASE).exists()


def take_use(code: Code, *, organization_id: uuid.UUID) -> int:
    """Count one more use of a locked code, and return its number among the organization's uses of the set.

    Needs the organization's scope. Raises CodeUsedBefore.
    """
    with connection.cursor() as cursor:
        # Two codes of one set are two rows: without this they would find the same number free.
        cursor.execute(_ONE_AT_A_TIME, [str(code.code_set_id), str(organization_id)])
    taken = set(
        CodeRedemption.objects.filter(
            organization_id=organization_id, code_set_id=code.code_set_id, slot__isnull=False
        ).values_list("slot", flat=True)
    )
    slot = next(number for number in range(1, len(taken) + 2) if number not in taken)
    most = code.code_set.uses_per_organization
    if most is not None and slot > most:
        raise CodeUsedBefore
    with platform_scope("use a code"):
        Code.objects.filter(id=code.id).update(uses=F("uses") + 1)
    return slot


def give_use_back(code_id: uuid.UUID) -> None:
    """Count one use of a code less. Locks it. The caller takes the slot from the redemption in the same transaction."""
    with platform_scope("give the use of a code back"):
        Code.objects.filter(id=code_id).update(uses=F("uses") - 1)


def terms_of(code: Code) -> dict[str, object]:
    """Return the columns of a redemption that keep what a code was worth."""
    code_set = code.code_set
    return {
        "code": code,
        "code_set": code_set,
        "hint": code.hint,
        "benefit": code_set.benefit,
        "percent": code_set.percent,
        "valid_days": code_set.valid_days,
    }


def grant_of_code(
    *,
    organization_id: uuid.UUID,
    redemption_id: uuid.UUID,
    hint: str,
    tokens_mtok: int,
    valid_days: int | None,
    reference: str,
    actor: object,
    now: datetime,
) -> Grant:
    """Credit the Tokens of a code's use, once per use. Locks as `issue_grant`."""
    return issue_grant(
        organization_id=organization_id,
        tokens_mtok=tokens_mtok,
        source=GrantSource.PROMOTION,
        expires_at=None if valid_days is None else now + timedelta(days=valid_days),
        reason=f"Code {hint}…",
        reference=reference,
        idempotency_key=f"code:{redemption_id}",
        actor=actor,
        now=now,
    )
