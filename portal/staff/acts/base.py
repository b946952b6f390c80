"""What an act of staff is: its form, its consequence in numbers, and its doing."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, TypeVar, cast

from django.db.models import Model
from django.http import Http404
from django.utils.functional import Promise

from portal.staff.forms import ReasonForm
from tenants.actors import Actor
from tenants.models import Organization
from tenants.scope import organization_scope
from tenants.services.idempotency import first_time, not_done

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Doing:
    """Who does an act, why and when: what every service takes of it (`**doing.facts`)."""

    organization_id: uuid.UUID
    reason: str
    actor: Actor
    now: datetime

    @property
    def facts(self) -> dict[str, Any]:
        """Return the arguments that every service takes."""
        return {
            "organization_id": self.organization_id,
            "reason": self.reason,
            "actor": self.actor,
            "now": self.now,
        }


class Act(ABC):
    """One act on an organization or, where `has_target`, on a row of it. Raises Http404 when that does not exist."""

    title: ClassVar[str | Promise]
    button: ClassVar[str | Promise]
    form: ClassVar[type[ReasonForm]] = ReasonForm
    has_target: ClassVar[bool] = True
    danger: ClassVar[bool] = True
    # Not where others are told before the act is over, as Stripe is.
    one_transaction: ClassVar[bool] = True

    def __init__(self, organization: Organization, target_id: uuid.UUID | None) -> None:
        if self.has_target != (target_id is not None):
            raise Http404
        self.organization = organization
        self.target_id = cast(uuid.UUID, target_id)

    @abstractmethod
    def consequence(self, form: ReasonForm, now: datetime) -> list[str]:
        """Return what will happen, in numbers. `form` is valid. Opens its own scope."""

    @abstractmethod
    def do(self, form: ReasonForm, doing: Doing) -> str:
        """Do it, and return in words what was done. Opens its own scope."""

    def do_once(self, form: ReasonForm, doing: Doing) -> str | None:
        """Do it, unless this form was sent before: then return None.

        What is refused may be sent again; so may what broke off, unless the process died in the middle of it.
        """
        key, route = str(form.cleaned_data["key"]), f"staff {type(self).__name__} {self.target_id}"
        claim: dict[str, Any] = {"organization_id": self.organization.id, "key": key, "route": route}
        if self.one_transaction:
            with organization_scope(self.organization.id):
                return self.do(form, doing) if first_time(**claim, now=doing.now) else None
        with organization_scope(self.organization.id):
            if not first_time(**claim, now=doing.now):
                return None
        try:
            return self.do(form, doing)
        except Exception:
            with organization_scope(self.organization.id):
                not_done(**claim)
            raise

    def target(self, model: type[Row], **conditions: Any) -> Row:
        """Return the row that the act is about, with these conditions."""
        with organization_scope(self.organization.id):
            row = model._default_manager.filter(id=self.target_id, **conditions).first()
        if row is None:
            raise Http404
        return row
