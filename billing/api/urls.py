from django.urls import path

from billing.api.accounts import AccountListView, AccountView, RearrangeView, SplitView
from billing.api.alerts import (
    AlertListView,
    AlertPreferencesView,
    AlertSettingsView,
    AlertView,
    MuteListView,
    MuteView,
)
from billing.api.auto_topup import AutoTopUpView
from billing.api.balance import BalanceView, GrantListView
from billing.api.debts import DebtListView, SettleDebtView
from billing.api.exports import EntryExportView
from billing.api.forecast import ForecastView
from billing.api.ledger import TransferListView
from billing.api.limits import LimitListView, LimitView
from billing.api.packages import PackageListView
from billing.api.plans import (
    BoostListView,
    CancelPlanView,
    PlanListView,
    PlanPreviewView,
    PlanView,
    ResumePlanView,
)
from billing.api.pools import (
    SubTokenCeilingView,
    SubTokenMoveView,
    TeamAllocateView,
    TeamCeilingView,
    TeamMoveView,
    TeamPoolView,
    TeamReclaimAllView,
    TeamReclaimView,
)
from billing.api.redeem import RedeemView
from billing.api.refunds import DisputeListView, PaymentRefundView, RefundListView
from billing.api.statements import StatementView
from billing.api.sub_token_life import (
    BulkView,
    EndGraceView,
    LookupView,
    ResumeView,
    RevokeView,
    RotateView,
    SuspendView,
)
from billing.api.sub_tokens import AllocateView, ReclaimView, SubTokenListView, SubTokenView
from billing.api.teams import TeamListView, TeamView
from billing.api.topups import CancelTopUpView, TopUpListView, TopUpPriceView, TopUpView
from billing.api.webhooks import (
    DeliveryListView,
    EndpointListView,
    EndpointView,
    ResendView,
    RotateEndpointView,
    TestEndpointView,
)

urlpatterns = [
    path("accounts", AccountListView.as_view()),
    path("accounts/<uuid:account_id>", AccountView.as_view()),
    path("accounts/<uuid:account_id>/rearrange", RearrangeView.as_view()),
    path("accounts/<uuid:account_id>/split", SplitView.as_view()),
    path("alert_preferences/<uuid:user_id>", AlertPreferencesView.as_view()),
    path("alert_preferences/<uuid:user_id>/mutes", MuteListView.as_view()),
    path("alert_preferences/<uuid:user_id>/mutes/<uuid:mute_id>", MuteView.as_view()),
    path("alert_settings", AlertSettingsView.as_view()),
    path("alerts", AlertListView.as_view()),
    path("alerts/<uuid:alert_id>", AlertView.as_view()),
    path("auto_topup", AutoTopUpView.as_view()),
    path("balance", BalanceView.as_view()),
    path("debts", DebtListView.as_view()),
    path("debts/settle", SettleDebtView.as_view()),
    path("disputes", DisputeListView.as_view()),
    path("forecast", ForecastView.as_view()),
    path("grants", GrantListView.as_view()),
    path("payments/<uuid:payment_id>/refund", PaymentRefundView.as_view()),
    path("refunds", RefundListView.as_view()),
    path("statements", StatementView.as_view()),
    path("ledger/entries/export", EntryExportView.as_view()),
    path("ledger/transfers", TransferListView.as_view()),
    path("limits", LimitListView.as_view()),
    path("limits/<uuid:account_id>", LimitView.as_view()),
    path("boosts", BoostListView.as_view()),
    path("plan", PlanView.as_view()),
    path("plan/cancel", CancelPlanView.as_view()),
    path("plan/preview", PlanPreviewView.as_view()),
    path("plan/resume", ResumePlanView.as_view()),
    path("plans", PlanListView.as_view()),
    path("packages", PackageListView.as_view()),
    path("redeem", RedeemView.as_view()),
    path("sub_tokens", SubTokenListView.as_view()),
    path("sub_tokens/bulk", BulkView.as_view()),
    path("sub_tokens/lookup", LookupView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>", SubTokenView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/allocate", AllocateView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/reclaim", ReclaimView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/ceiling", SubTokenCeilingView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/move", SubTokenMoveView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/rotate", RotateView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/end_grace", EndGraceView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/suspend", SuspendView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/resume", ResumeView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/revoke", RevokeView.as_view()),
    path("teams", TeamListView.as_view()),
    path("teams/<uuid:team_id>", TeamView.as_view()),
    path("teams/<uuid:team_id>/pool", TeamPoolView.as_view()),
    path("teams/<uuid:team_id>/allocate", TeamAllocateView.as_view()),
    path("teams/<uuid:team_id>/reclaim", TeamReclaimView.as_view()),
    path("teams/<uuid:team_id>/reclaim_all", TeamReclaimAllView.as_view()),
    path("teams/<uuid:team_id>/ceiling", TeamCeilingView.as_view()),
    path("teams/<uuid:team_id>/move", TeamMoveView.as_view()),
    path("topups", TopUpListView.as_view()),
    path("topups/price", TopUpPriceView.as_view()),
    path("topups/<uuid:payment_id>", TopUpView.as_view()),
    path("topups/<uuid:payment_id>/cancel", CancelTopUpView.as_view()),
    path("webhook_deliveries/<uuid:delivery_id>/resend", ResendView.as_view()),
    path("webhook_endpoints", EndpointListView.as_view()),
    path("webhook_endpoints/<uuid:endpoint_id>", EndpointView.as_view()),
    path("webhook_endpoints/<uuid:endpoint_id>/deliveries", DeliveryListView.as_view()),
    path("webhook_endpoints/<uuid:endpoint_id>/rotate", RotateEndpointView.as_view()),
    path("webhook_endpoints/<uuid:endpoint_id>/test", TestEndpointView.as_view()),
]
