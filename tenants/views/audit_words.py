"""How the audit log is read by people."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.models import AuditEvent, Role, WhenUncounted
from tenants.wording import MAILS, listed

ACTIONS: dict[str, Promise] = {
    "organization.created": _("Opened the organization"),
    "organization.renamed": _("Renamed the organization"),
    "organization.when_uncounted_changed": _("Said what happens while requests cannot be counted"),
    "member.added": _("Added a member"),
    "member.role_changed": _("Changed a member's role"),
    "member.removed": _("Removed a member"),
    "member.left": _("Left the organization"),
    "invitation.sent": _("Sent an invitation"),
    "invitation.revoked": _("Took an invitation back"),
    "invitation.accepted": _("Accepted an invitation"),
    "second_factor.required": _("Required a second factor"),
    "second_factor.optional": _("Made the second factor optional"),
    "single_sign_on.changed": _("Set up single sign-on"),
    "single_sign_on.removed": _("Removed single sign-on"),
    "single_sign_on.required": _("Required single sign-on"),
    "single_sign_on.optional": _("Made single sign-on optional"),
    "single_sign_on.linked": _("Agreed to single sign-on"),
    "single_sign_on.signed_in": _("Signed in by single sign-on"),
    "person.signed_in": _("Signed in"),
    "person.signed_out": _("Signed out"),
    "person.sessions_ended": _("Signed out elsewhere"),
    "person.password_changed": _("Changed their password"),
    "person.email_changed": _("Changed their mail address"),
    "person.second_factor_added": _("Added a second factor"),
    "person.second_factor_removed": _("Removed a second factor"),
    "person.recovery_codes_made": _("Made new recovery codes"),
    "member.deleted_account": _("Deleted their account"),
    "ownership.offered": _("Offered the organization to a member"),
    "ownership.withdrawn": _("Took the offer of the organization back"),
    "ownership.declined": _("Declined the organization"),
    "ownership.accepted": _("Took the organization over"),
    "organization.deletion_requested": _("Began to delete the organization"),
    "organization.deletion_undone": _("Undid the deletion"),
    "organization.exported": _("Exported the organization's data"),
    "team.created": _("Made a team"),
    "team.changed": _("Changed a team"),
    "management_key.created": _("Made a management key"),
    "management_key.changed": _("Changed a management key"),
    "management_key.rotated": _("Gave a management key a new secret"),
    "management_key.grace_ended": _("Ended a management key's older secrets"),
    "management_key.revoked": _("Revoked a management key"),
    "plan.change_asked": _("Asked for another plan"),
    "plan.changed": _("Changed the plan"),
    "plan.paid": _("Paid for the plan"),
    "plan.resumed": _("Took a change of plan back"),
    "boost.asked": _("Began to buy a boost"),
    "boost.started": _("A boost began"),
    "boost.ended": _("Ended a boost"),
    "grant.issued": _("Granted Tokens"),
    "grant.corrected": _("Corrected a grant"),
    "grant.refunded": _("Refunded Tokens"),
    "top_up.begun": _("Began to buy Tokens"),
    "top_up.paid": _("Bought Tokens"),
    "top_up.cancelled": _("Took a payment back before it was paid"),
    "top_up.processing": _("A payment waits for the bank"),
    "top_up.failed": _("A payment failed"),
    "top_up.expired": _("A payment was not made in time"),
    "auto_top_up.changed": _("Changed the automatic top-up"),
    "auto_top_up.begun": _("Began an automatic purchase"),
    "auto_top_up.stopped": _("The automatic top-up stopped"),
    "auto_top_up.resumed": _("Let the automatic top-up go on"),
    "card.saved": _("Saved a card"),
    "card.made_default": _("Chose the card that is charged"),
    "card.removed": _("Removed a card"),
    "code.redeemed": _("Redeemed a code"),
    "refund.requested": _("Asked for a refund, and gave the Tokens back"),
    "refund.found": _("Was refunded at Stripe"),
    "refund.sent": _("A refund is on its way"),
    "refund.succeeded": _("A refund was paid"),
    "refund.failed": _("A refund failed, and its Tokens came back"),
    "dispute.opened": _("A payment is disputed: its Tokens are frozen"),
    "dispute.won": _("A dispute was won: the Tokens are thawed"),
    "dispute.lost": _("A dispute was lost: the Tokens are taken"),
    "debt.incurred": _("Was paid back for Tokens that were spent: a debt"),
    "debt.settled": _("Settled a debt"),
    "debt.forgiven": _("Forgave a debt"),
    "debt.voided": _("Undid a debt whose cause came to nothing"),
    "payment_event.run_again": _("Reprocessed a Stripe event"),
    "payment.looked_up": _("Asked Stripe about a payment again"),
    "transfer.reversed": _("Reversed a transfer"),
    "wallet.rearranged": _("Shared Tokens out anew"),
    "wallet.split": _("Split Tokens into sub-tokens"),
    "pool.opened": _("Opened a team's pool"),
    "pool.allocated": _("Gave a pool Tokens"),
    "pool.reclaimed": _("Took Tokens back from a pool"),
    "pool.moved": _("Moved Tokens between pools"),
    "pool.ceiling_changed": _("Changed a pool's ceiling"),
    "pool.rearranged": _("Shared a pool's Tokens out anew"),
    "pool.split": _("Split a pool's Tokens into sub-tokens"),
    "pool.ended": _("Ended a team's pool and took its Tokens back"),
    "limits.set": _("Set the limits"),
    "call.cancelled": _("Took a call back"),
    "sub_token.created": _("Made a sub-token"),
    "sub_token.allocated": _("Gave a sub-token Tokens"),
    "sub_token.reclaimed": _("Took Tokens back from a sub-token"),
    "sub_token.moved": _("Moved Tokens between sub-tokens"),
    "sub_token.ceiling_changed": _("Changed a sub-token's ceiling"),
    "sub_token.changed": _("Changed a sub-token"),
    "sub_token.rotated": _("Gave a sub-token a new secret"),
    "sub_token.grace_ended": _("Ended a sub-token's older secrets"),
    "sub_token.suspended": _("Suspended a sub-token"),
    "sub_token.resumed": _("Resumed a sub-token"),
    "sub_token.ended": _("Ended a sub-token and took its Tokens back"),
    "sub_token.revoked": _("Revoked a sub-token"),
    "organization.frozen": _("Froze the organization"),
    "organization.unfrozen": _("Let the organization go on"),
    "job.requeued": _("Put a running job back"),
    "job.cancelled": _("Cancelled a job"),
    "hold.released": _("Released a stuck hold"),
    "mail.resent": _("Sent a mail again"),
    "webhook.resent_by_staff": _("Sent an event to a webhook again, for a reason"),
    "staff.looked": _("Looked at the organization"),
    "staff.looked_as": _("Looked as a member"),
    "staff.impersonation_started": _("Began to look as a member"),
    "staff.impersonation_ended": _("Stopped looking as a member"),
    "alert_settings.changed": _("Changed levels and rules of alerts"),
    "alert_preferences.changed": _("Changed what a member is told of"),
    "alert.muted": _("Muted an alert"),
    "alert.unmuted": _("Ended the mute of an alert"),
    "webhook_endpoint.created": _("Made a webhook endpoint"),
    "webhook_endpoint.changed": _("Changed a webhook endpoint"),
    "webhook_endpoint.deleted": _("Deleted a webhook endpoint"),
    "webhook_endpoint.rotated": _("Gave a webhook endpoint a new secret"),
    "webhook_endpoint.tested": _("Sent a test to a webhook endpoint"),
    "webhook_endpoint.resent": _("Sent a webhook again"),
}


FACTS: dict[str, Promise] = {
    "name": _("Name"),
    "slug": _("Address"),
    "owner": _("Owner"),
    "member": _("Member"),
    "role": _("Role"),
    "parent": _("Inside"),
    "prefix": _("Begins with"),
    "scopes": _("It may"),
    "expires_at": _("Ends"),
    "mtok": _("Tokens"),
    "ceiling_mtok": _("Ceiling"),
    "left_mtok": _("Still owed"),
    "returned_mtok": _("Gone back to the wallet"),
    "cause": _("Cause"),
    "accounts": _("Accounts"),
    "revoked": _("Revoked"),
    "parts": _("Parts"),
    "grant": _("Grant"),
    "from": _("From"),
    "to": _("To"),
    "changes": _("Changes"),
    "page": _("Page"),
    "until": _("Until"),
    "worker": _("Worker"),
    "frozen_at": _("Frozen"),
    "mode": _("Where its Tokens are"),
    "source": _("Source"),
    "reference": _("Reference"),
    "reversal": _("Reversal"),
    "kind": _("Kind"),
    "second_factor_required": _("Second factor"),
    "tokens_per_hour_mtok": _("Tokens per hour"),
    "tokens_per_day_mtok": _("Tokens per day"),
    "tokens_per_month_mtok": _("Tokens per month"),
    "tokens_total_mtok": _("Tokens in all"),
    "requests_per_second": _("Calls a second"),
    "requests_per_day": _("Calls a day"),
    "burst": _("Calls that may come together"),
    "concurrency": _("Calls at once"),
    "models": _("Models"),
    "tasks": _("Tasks"),
    "tags": _("Tags"),
    "ip_allow_list": _("Allowed addresses"),
    "recipient": _("To"),
    "held_mtok": _("Held"),
    "threshold_mtok": _("Below which more is bought"),
    "buys": _("Buys"),
    "ceiling": _("At most in a month"),
    "per_hour": _("At most in an hour"),
    "per_day": _("At most in a day"),
    "status": _("Status"),
    "reason": _("Reason"),
    "when_uncounted": _("While requests cannot be counted"),
    "price": _("Price"),
    "total": _("Paid in all"),
    "boost": _("Boost"),
    "factor": _("Factor"),
    "starts_at": _("Begins"),
    "ends_at": _("Ends"),
    "next_plan": _("Next plan"),
    "package": _("Package"),
    "failure": _("Why it failed"),
    "url": _("Address"),
    "enabled": _("Enabled"),
    "deliveries": _("Deliveries"),
    "event": _("Event"),
    "rule": _("Alert"),
    "rules": _("Alerts"),
    "rules_off": _("Alerts that are off"),
    "levels": _("Levels"),
    "error_run": _("Failed calls in a row"),
    "burn_score": _("Score of unusual spending"),
    "subject": _("Subject"),
    "subscriptions": _("What is told"),
    "not_wanted": _("Not told of"),
    "time_zone": _("Time zone"),
    "quiet_from": _("Quiet from"),
    "quiet_until": _("Quiet until"),
    "daily_digest": _("One mail a day instead of one each"),
    "digest_at": _("The daily mail at"),
    "critical_passes": _("What is critical comes at once"),
    "sessions": _("Sessions"),
    "plan": _("Plan"),
    "on_exhausted": _("When Tokens run out"),
    "priority_class": _("Priority"),
    "old_secret_ends_at": _("The old secret ends"),
}

ALERTS: dict[str, Promise] = {
    "grant_used": _("A grant is nearly used"),
    "pool_used": _("A team's Tokens are nearly used"),
    "sub_token_used": _("A sub-token's Tokens are nearly used"),
    "limit_used": _("A limit is nearly reached"),
    "tokens_exhausted": _("The organization has no Tokens left"),
    "grant_expiring": _("A grant expires soon"),
    "sub_token_expiring": _("A sub-token ends soon"),
    "errors_in_a_row": _("A sub-token's calls fail one after the other"),
    "unusual_burn": _("Unusually many Tokens are spent"),
    "payment_disputed": _("A payment is disputed"),
    "debt_incurred": _("The organization owes Tokens"),
}
LISTS_OF_ALERTS = {"rules", "rules_off", "not_wanted"}
CHANNELS: dict[str, Promise] = {"inbox": _("Portal"), "mail": _("Mail")}

# What facts are set to, where the stored word is not one for people.
VALUES: dict[str, dict[Any, Promise]] = {
    "mode": {
        "allocated": _("Set aside for it alone"),
        "ring_fenced": _("Set aside for it alone"),
        "capped": _("Drawn from its parent, up to a quota"),
    },
    "role": dict(Role.choices),
    "kind": {
        **MAILS,
        "signed": _("Signed JSON"),
        "slack": _("Slack-compatible"),
        "topup": _("Top-up"),
        "auto_topup": _("Auto top-up"),
        "plan": _("Plan"),
        "boost": _("Boost"),
        "grant": _("Grant"),
        "allocation": _("Allocation"),
        "reclaim": _("Reclaim"),
        "move": _("Move sideways"),
    },
    "rule": ALERTS,
    "source": {
        "trial": _("Free trial"),
        "purchase": _("Purchase"),
        "promotion": _("Promotion"),
        "plan": _("Plan"),
        "manual": _("Given by staff"),
    },
    "page": {
        "organization": _("Organization"),
        "organization_audit": _("Audit log"),
        "act": _("The form of an act"),
        "impersonate": _("The form of looking as a member"),
    },
    "second_factor_required": {True: _("Required"), False: _("Optional")},
    "when_uncounted": dict(WhenUncounted.choices),
    "on_exhausted": {"reject": _("Refuse the call"), "wait": _("Let the job wait until Tokens arrive")},
    "enabled": {True: _("yes"), False: _("no")},
    "daily_digest": {True: _("yes"), False: _("no")},
    "critical_passes": {True: _("yes"), False: _("no")},
}


def words_of(event: AuditEvent) -> str:
    """Return what was done in words; an action that has none is named as it is stored."""
    return str(ACTIONS.get(event.action, event.action))


@dataclass(frozen=True)
class Change:
    """One fact before and after, None where it did not exist."""

    name: str
    before: Any
    after: Any

    @property
    def is_amount(self) -> bool:
        """Return whether the fact is a number of Tokens, in mtok."""
        return self.name == "mtok" or self.name.endswith("_mtok")

    @property
    def is_moment(self) -> bool:
        """Return whether the fact is a point in time."""
        values = [value for value in (self.before, self.after) if value is not None]
        return bool(values) and all(isinstance(value, datetime) for value in values)

    @property
    def label(self) -> str:
        """Return the fact's name for people."""
        return str(FACTS.get(self.name, self.name))


def changes(event: AuditEvent) -> list[Change]:
    """Return the facts of an event: what changed, and what stayed to say whom it is about."""
    before, after = event.before or {}, event.after or {}
    facts = [
        Change(name, _value(name, before.get(name)), _value(name, after.get(name))) for name in {**before, **after}
    ]
    return [fact for fact in facts if fact.before not in (None, "") or fact.after not in (None, "")]


def _value(name: str, value: Any) -> Any:
    if name == "changes" and isinstance(value, dict):
        return listed(f"{part}: {_signed(mtok)}" for part, mtok in value.items())
    if name in LISTS_OF_ALERTS and isinstance(value, list):
        return listed(_alert(part) for part in value)
    words = VALUES.get(name, {})
    return str(words[value]) if isinstance(value, str | bool) and value in words else _plain(value)


def _signed(mtok: int) -> str:
    whole, thousandths = divmod(abs(mtok), 1000)
    return f"{'−' if mtok < 0 else '+'}{whole:,}.{thousandths:03d}"


def _alert(stored: str) -> str:
    """Return an alert's words; where a channel is stored behind it (`grant_used:mail`), with that channel."""
    rule, _colon, channel = stored.partition(":")
    words = str(ALERTS.get(rule, rule))
    return f"{words} ({CHANNELS.get(channel, channel)})" if channel else words


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return listed(f"{name}: {_plain(part)}" for name, part in value.items())
    if isinstance(value, list):
        return listed(_plain(part) for part in value)
    return _moment(value) or value if isinstance(value, str) else value


def _moment(text: str) -> datetime | None:
    # Facts are kept as JSON, where a time is a text; a day alone, or a time without its zone, is none.
    if "T" not in text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
