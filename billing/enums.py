"""The ledger's closed sets of words, each value as it stands in the database."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class AccountKind(models.TextChoices):
    ORG_WALLET = "org_wallet", _("Organization")
    TEAM_POOL = "team_pool", _("Team pool")
    SUB_TOKEN = "sub_token", _("Sub-token")
    ISSUED = "issued", _("Issued")
    CONSUMED = "consumed", _("Consumed")
    EXPIRED = "expired", _("Expired")
    REFUNDED = "refunded", _("Refunded")


# The other ends of every transfer that enters or leaves an organization's own accounts; one of each per organization.
SYSTEM_KINDS = (AccountKind.ISSUED, AccountKind.CONSUMED, AccountKind.EXPIRED, AccountKind.REFUNDED)

SPENDING_KINDS = (AccountKind.ORG_WALLET, AccountKind.TEAM_POOL, AccountKind.SUB_TOKEN)


class AccountMode(models.TextChoices):
    RING_FENCED = "ring_fenced", _("Own Tokens")
    CAPPED = "capped", _("Draws on its parent, up to a cap")


class GrantSource(models.TextChoices):
    TRIAL = "trial", _("Free trial")
    PURCHASE = "purchase", _("Purchase")
    PROMOTION = "promotion", _("Promotion")
    PLAN = "plan", _("Plan")
    MANUAL = "manual", _("Given by staff")


class TransferKind(models.TextChoices):
    GRANT = "grant", _("Grant")
    ALLOCATION = "allocation", _("Allocation")
    RECLAIM = "reclaim", _("Reclaim")
    MOVE = "move", _("Move sideways")
    CAPTURE = "capture", _("Capture")
    EXPIRY = "expiry", _("Expiry")
    REVERSAL = "reversal", _("Reversal")
    SETTLEMENT = "settlement", _("Debt settled")


class RefundOrigin(models.TextChoices):
    """Who began a refund."""

    CUSTOMER = "customer", _("Asked for here")
    STAFF = "staff", _("By staff")
    STRIPE = "stripe", _("Made at Stripe")


class RefundStatus(models.TextChoices):
    """How far a refund is: its Tokens are taken first, then its money is sent; what fails gives the Tokens back."""

    RESERVED = "reserved", _("Being sent")
    PENDING = "pending", _("On its way")
    SUCCEEDED = "succeeded", _("Paid back")
    FAILED = "failed", _("Failed, Tokens given back")


class DisputeStatus(models.TextChoices):
    OPEN = "open", _("Open")
    WON = "won", _("Won")
    LOST = "lost", _("Lost")


class DebtCause(models.TextChoices):
    """Why an organization got money back for Tokens that it had spent."""

    REFUND = "refund", _("Refund")
    DISPUTE = "dispute", _("Lost dispute")


class HoldStatus(models.TextChoices):
    HELD = "held", _("Held")
    CAPTURED = "captured", _("Captured")
    RELEASED = "released", _("Released")
    EXPIRED = "expired", _("Expired")


class HoldOutcome(models.TextChoices):
    """What `billing_place_hold` answers."""

    HELD = "held"
    DUPLICATE = "duplicate"
    INSUFFICIENT_TOKENS = "insufficient_tokens"
    QUOTA_EXCEEDED = "quota_exceeded"
    HOURLY_LIMIT_EXCEEDED = "hourly_limit_exceeded"
    DEBT_OUTSTANDING = "debt_outstanding"
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_EXPIRED = "account_expired"
    ACCOUNT_UNKNOWN = "account_unknown"


class LimitPeriod(models.TextChoices):
    """How long a limit of Tokens counts before it begins anew: calendar hours, days and months in UTC, or for ever."""

    HOUR = "hour", _("Hour")
    DAY = "day", _("Day")
    MONTH = "month", _("Month")
    TOTAL = "total", _("In all")


# The plan's own ceiling of Tokens per hour, counted beside the organization's limits in windows of the same table.
PLAN_HOUR = "planhour"


class Level(models.TextChoices):
    """Whose limit it is."""

    ORGANIZATION = "organization", _("Organization")
    TEAM = "team", _("Team")
    SUB_TOKEN = "sub_token", _("Sub-token")


LEVEL_OF_KIND = {
    AccountKind.ORG_WALLET: Level.ORGANIZATION,
    AccountKind.TEAM_POOL: Level.TEAM,
    AccountKind.SUB_TOKEN: Level.SUB_TOKEN,
}


class ResolveOutcome(models.TextChoices):
    """What `billing_capture_holds` and `billing_release_holds` answer for one hold."""

    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"
    ALREADY_CAPTURED = "already_captured"
    ALREADY_RELEASED = "already_released"
    ALREADY_EXPIRED = "already_expired"
    REFUSED = "refused"
    UNKNOWN = "unknown"


class Currency(models.TextChoices):
    """What packages are sold in; a price is an integer of the currency's minor unit (fen, cent)."""

    CNY = "CNY", _("CNY")
    USD = "USD", _("USD")


class SubscriptionStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    PAST_DUE = "past_due", _("Payment is overdue")


class PeriodReason(models.TextChoices):
    """Why Tokens of a plan were given."""

    PERIOD = "period", _("A new period")
    UPGRADE = "upgrade", _("An upgrade")


class AutoTopUpStatus(models.TextChoices):
    """How an automatic top-up is. All but off and stopped go on by themselves, or once somebody has confirmed."""

    OFF = "off", _("Off")
    ON = "on", _("On")
    WAITING = "waiting", _("Waiting for the bank")
    CONFIRM = "confirm", _("Needs your confirmation")
    DECLINED = "declined", _("Declined, tried again later")
    CEILING = "ceiling", _("Waiting for the next month")
    STOPPED = "stopped", _("Stopped")


class StopReason(models.TextChoices):
    """Why an automatic top-up stopped, until a person lets it go on."""

    NONE = "", ""
    VELOCITY = "velocity", _("More payments in a short time than you allow")
    DECLINED = "declined", _("The card was declined again and again")
    UNCONFIRMED = "unconfirmed", _("A payment was not confirmed in time")
    NO_CARD = "no_card", _("There is no saved card any more")
    NO_OFFER = "no_offer", _("What was to be bought is no longer on sale")
    REFUSED = "refused", _("The payment could not be made")


class CodeBenefit(models.TextChoices):
    """What a code is worth: the first at once, the others with a purchase."""

    TOKENS = "tokens", _("Tokens at once")
    BONUS_TOKENS = "bonus_tokens", _("Tokens on top of a purchase")
    BONUS_PERCENT = "bonus_percent", _("Percent more Tokens with a purchase")
    DISCOUNT_PERCENT = "discount_percent", _("Percent off a purchase")


class RedemptionStatus(models.TextChoices):
    """`reserved` while a payment is awaited; `released` when that never came, and the code is free again."""

    RESERVED = "reserved", _("Reserved")
    REDEEMED = "redeemed", _("Redeemed")
    RELEASED = "released", _("Released")


class SubTokenMode(models.TextChoices):
    ALLOCATED = "allocated", _("Own Tokens")
    CAPPED = "capped", _("Draws on its parent, up to a quota")


class OnExhausted(models.TextChoices):
    """What becomes of a call when Tokens, a quota or a limit have no room for it."""

    REJECT = "reject", _("Refuse the call")
    WAIT = "wait", _("Let the job wait until Tokens arrive")


class PriorityClass(models.IntegerChoices):
    HIGH = 0, _("High")
    NORMAL = 1, _("Normal")
    LOW = 2, _("Low")


class SubTokenStatus(models.TextChoices):
    ACTIVE = "active", _("Active")
    SUSPENDED = "suspended", _("Suspended")
    EXPIRED = "expired", _("Expired")
    REVOKED = "revoked", _("Revoked")


class AlertRule(models.TextChoices):
    """What is watched, each once per subject, level and period."""

    GRANT_USED = "grant_used", _("A grant is nearly used")
    POOL_USED = "pool_used", _("A team's Tokens are nearly used")
    SUB_TOKEN_USED = "sub_token_used", _("A sub-token's Tokens are nearly used")
    LIMIT_USED = "limit_used", _("A limit is nearly reached")
    TOKENS_EXHAUSTED = "tokens_exhausted", _("The organization has no Tokens left")
    GRANT_EXPIRING = "grant_expiring", _("A grant expires soon")
    SUB_TOKEN_EXPIRING = "sub_token_expiring", _("A sub-token ends soon")
    ERRORS_IN_A_ROW = "errors_in_a_row", _("A sub-token's calls fail one after the other")
    UNUSUAL_BURN = "unusual_burn", _("Unusually many Tokens are spent")
    PAYMENT_DISPUTED = "payment_disputed", _("A payment is disputed")
    DEBT_INCURRED = "debt_incurred", _("The organization owes Tokens")


class AlertChannel(models.TextChoices):
    """How a member is told; webhooks are the organization's."""

    INBOX = "inbox", _("Portal")
    MAIL = "mail", _("Mail")


class Severity(models.TextChoices):
    WARNING = "warning", _("Warning")
    CRITICAL = "critical", _("Critical")


class WebhookKind(models.TextChoices):
    SIGNED = "signed", _("Signed JSON")
    SLACK = "slack", _("Slack-compatible")


class DeliveryStatus(models.TextChoices):
    QUEUED = "queued", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Given up")


class PaymentKind(models.TextChoices):
    """What money was paid for."""

    TOPUP = "topup", _("Top-up")
    AUTO_TOPUP = "auto_topup", _("Auto top-up")
    PLAN = "plan", _("Plan")
    BOOST = "boost", _("Boost")


class PaymentStatus(models.TextChoices):
    """How far a payment is. A bank may take days over `processing`; what is over may still be paid late."""

    OPEN = "open", _("Not paid yet")
    PROCESSING = "processing", _("Waiting for the bank")
    PAID = "paid", _("Paid")
    FAILED = "failed", _("Failed")
    EXPIRED = "expired", _("Expired")


class EventStatus(models.TextChoices):
    """What became of an event of Stripe's."""

    RECEIVED = "received", _("Waiting")
    PROCESSED = "processed", _("Processed")
    IGNORED = "ignored", _("Not for us")
    FAILED = "failed", _("Failed")
