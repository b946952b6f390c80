from billing.models.accounts import Account
from billing.models.alerts import (
    Alert,
    AlertMute,
    AlertNotice,
    AlertPreferences,
    AlertSettings,
    AlertSubscription,
    Crossing,
)
from billing.models.auto_top_up import AutoTopUp
from billing.models.checks import LedgerCheck
from billing.models.codes import Code, CodeGuess, CodeRedemption, CodeSet
from billing.models.debts import Debt, Freeze
from billing.models.grants import Grant, Lot
from billing.models.holds import DailyBurn, Hold
from billing.models.limits import Limits, LimitWindow
from billing.models.packages import Package
from billing.models.payments import BillingCustomer, Payment, ReconciliationRun, StripeEvent, TopUpTier
from billing.models.plans import Boost, BoostOffer, Plan, PlanPeriod, PlanPrice, Subscription
from billing.models.price_books import PriceBook
from billing.models.refunds import Dispute, Refund
from billing.models.sub_tokens import RetiredSecret, SubToken
from billing.models.transfers import Entry, Transfer
from billing.models.webhooks import WebhookDelivery, WebhookEndpoint

__all__ = [
    "Account",
    "Alert",
    "AlertMute",
    "AlertNotice",
    "AlertPreferences",
    "AlertSettings",
    "AlertSubscription",
    "AutoTopUp",
    "BillingCustomer",
    "Boost",
    "BoostOffer",
    "Code",
    "CodeGuess",
    "CodeRedemption",
    "CodeSet",
    "Crossing",
    "DailyBurn",
    "Debt",
    "Dispute",
    "Entry",
    "Freeze",
    "Grant",
    "Hold",
    "LedgerCheck",
    "LimitWindow",
    "Limits",
    "Lot",
    "Package",
    "Payment",
    "Plan",
    "PlanPeriod",
    "PlanPrice",
    "PriceBook",
    "ReconciliationRun",
    "Refund",
    "RetiredSecret",
    "StripeEvent",
    "SubToken",
    "Subscription",
    "TopUpTier",
    "Transfer",
    "WebhookDelivery",
    "WebhookEndpoint",
]
