"""What staff may do to an organization: each act by the word that its address has."""

from __future__ import annotations

from portal.staff.acts.base import Act, Doing
from portal.staff.acts.organizations import ChangePlan, Freeze, Unfreeze
from portal.staff.acts.payments import LookAtPayment, RefundPayment
from portal.staff.acts.tokens import ForgiveDebt, Grant, ReleaseHold, Reverse
from portal.staff.acts.work import CancelJob, RequeueJob, ResendMail, ResendWebhook

__all__ = ["ACTS", "Act", "Doing"]

ACTS: dict[str, type[Act]] = {
    "grant": Grant,
    "plan": ChangePlan,
    "reverse": Reverse,
    "forgive-debt": ForgiveDebt,
    "refund": RefundPayment,
    "freeze": Freeze,
    "unfreeze": Unfreeze,
    "release-hold": ReleaseHold,
    "requeue-job": RequeueJob,
    "cancel-job": CancelJob,
    "resend-mail": ResendMail,
    "resend-webhook": ResendWebhook,
    "look-at-payment": LookAtPayment,
}
