"""The pages about Tokens."""

from django.urls import path

from billing.views import (
    alert_preferences,
    alerts,
    cards,
    limits,
    plan,
    refunds,
    splits,
    splitting,
    sub_token_life,
    sub_tokens,
    top_up,
    webhooks,
)
from billing.views import splitting_acts as acts
from billing.views.auto_top_up import auto_top_up, auto_top_up_resume
from billing.views.balance import balance_pill
from billing.views.billing_home import billing_details, billing_home, payments_csv
from billing.views.codes import redeem
from billing.views.forecast import forecast_csv, forecast_page
from billing.views.grants import grants
from billing.views.ledger import ledger, ledger_csv
from billing.views.statements import statement_csv_file, statement_page, statement_pdf_file
from billing.views.stripe_webhook import stripe_webhook

ONE = "o/<slug:slug>/sub-tokens/<uuid:sub_token_id>/"
ENDPOINT = "o/<slug:slug>/webhooks/<uuid:endpoint_id>/"
PAYMENT = "o/<slug:slug>/billing/payments/<uuid:payment_id>/"
NODE = "o/<slug:slug>/splitting/<uuid:account_id>/"

urlpatterns = [
    path("webhooks/stripe", stripe_webhook, name="stripe_webhook"),
    path("o/<slug:slug>/balance/", balance_pill, name="balance_pill"),
    path("o/<slug:slug>/forecast/", forecast_page, name="forecast"),
    path("o/<slug:slug>/forecast.csv", forecast_csv, name="forecast_csv"),
    path("o/<slug:slug>/statement/", statement_page, name="statement"),
    path("o/<slug:slug>/statement.csv", statement_csv_file, name="statement_csv"),
    path("o/<slug:slug>/statement.pdf", statement_pdf_file, name="statement_pdf"),
    path("o/<slug:slug>/ledger/", ledger, name="ledger"),
    path("o/<slug:slug>/ledger.csv", ledger_csv, name="ledger_csv"),
    path("o/<slug:slug>/limits/", limits.limits, name="limits"),
    path("o/<slug:slug>/limits.csv", limits.limits_csv, name="limits_csv"),
    path("o/<slug:slug>/limits/<uuid:account_id>/", limits.limits_edit, name="limits_edit"),
    path("o/<slug:slug>/limits/teams/<uuid:team_id>/", limits.limits_edit_team, name="limits_edit_team"),
    path("o/<slug:slug>/billing/plan/", plan.plan, name="plan"),
    path("o/<slug:slug>/billing/plan/change/", plan.plan_change, name="plan_change"),
    path("o/<slug:slug>/billing/plan/resume/", plan.plan_resume, name="plan_resume"),
    path("o/<slug:slug>/billing/boosts/", plan.boost_buy, name="boost_buy"),
    path("o/<slug:slug>/billing/auto-top-up/", auto_top_up, name="auto_top_up"),
    path("o/<slug:slug>/billing/auto-top-up/resume/", auto_top_up_resume, name="auto_top_up_resume"),
    path("o/<slug:slug>/billing/cards/", cards.cards, name="cards"),
    path("o/<slug:slug>/billing/cards/new/", cards.card_new, name="card_new"),
    path("o/<slug:slug>/billing/cards/saved/", cards.card_saved, name="card_saved"),
    path("o/<slug:slug>/billing/cards/default/", cards.card_default, name="card_default"),
    path("o/<slug:slug>/billing/cards/remove/", cards.card_remove, name="card_remove"),
    path("o/<slug:slug>/billing/redeem/", redeem, name="redeem"),
    path("o/<slug:slug>/grants/", grants, name="grants"),
    path("o/<slug:slug>/billing/refunds/", refunds.refunds_page, name="refunds"),
    path("o/<slug:slug>/billing/payments/<uuid:payment_id>/refund/", refunds.payment_refund, name="payment_refund"),
    path("o/<slug:slug>/billing/debt/settle/", refunds.debt_settle, name="debt_settle"),
    path("o/<slug:slug>/billing/", billing_home, name="billing_home"),
    path("o/<slug:slug>/billing/details/", billing_details, name="billing_details"),
    path("o/<slug:slug>/billing/payments.csv", payments_csv, name="payments_csv"),
    path("o/<slug:slug>/billing/top-up/", top_up.top_up, name="top_up"),
    path("o/<slug:slug>/billing/top-up/price/", top_up.top_up_price, name="top_up_price"),
    path(PAYMENT, top_up.payment, name="payment"),
    path(f"{PAYMENT}pay/", top_up.payment_pay, name="payment_pay"),
    path(f"{PAYMENT}cancel/", top_up.payment_cancel, name="payment_cancel"),
    path("o/<slug:slug>/splitting/", splitting.splitting, name="splitting"),
    path("o/<slug:slug>/splitting.csv", splitting.splitting_csv, name="splitting_csv"),
    path(NODE, splitting.splitting, name="splitting_node"),
    path(f"{NODE}preview/", splitting.splitting_preview, name="splitting_preview"),
    path(f"{NODE}rearrange/", splitting.splitting_rearrange, name="splitting_rearrange"),
    path(f"{NODE}give/", acts.splitting_give, name="splitting_give"),
    path(f"{NODE}take/", acts.splitting_take, name="splitting_take"),
    path(f"{NODE}move/", acts.splitting_move, name="splitting_move"),
    path(f"{NODE}ceiling/", acts.splitting_ceiling, name="splitting_ceiling"),
    path(f"{NODE}end/", acts.splitting_end, name="splitting_end"),
    path(f"{NODE}split/", splits.splitting_split, name="splitting_split"),
    path(f"{NODE}split/preview/", splits.splitting_split_preview, name="splitting_split_preview"),
    path("o/<slug:slug>/teams/<uuid:team_id>/pool/", acts.team_pool_open, name="team_pool_open"),
    path("o/<slug:slug>/sub-tokens/", sub_tokens.sub_token_list, name="sub_tokens"),
    path("o/<slug:slug>/sub-tokens.csv", sub_tokens.sub_tokens_csv, name="sub_tokens_csv"),
    path("o/<slug:slug>/sub-tokens/new/", sub_tokens.sub_token_new, name="sub_token_new"),
    path("o/<slug:slug>/sub-tokens/bulk/", sub_token_life.sub_tokens_bulk, name="sub_tokens_bulk"),
    path("o/<slug:slug>/sub-tokens/lookup/", sub_token_life.sub_tokens_lookup, name="sub_tokens_lookup"),
    path(ONE, sub_tokens.sub_token, name="sub_token"),
    path(f"{ONE}allocate/", sub_tokens.sub_token_allocate, name="sub_token_allocate"),
    path(f"{ONE}reclaim/", sub_tokens.sub_token_reclaim, name="sub_token_reclaim"),
    path(f"{ONE}edit/", sub_token_life.sub_token_edit, name="sub_token_edit"),
    path(f"{ONE}rotate/", sub_token_life.sub_token_rotate, name="sub_token_rotate"),
    path(f"{ONE}end-grace/", sub_token_life.sub_token_end_grace, name="sub_token_end_grace"),
    path(f"{ONE}suspend/", sub_token_life.sub_token_suspend, name="sub_token_suspend"),
    path(f"{ONE}resume/", sub_token_life.sub_token_resume, name="sub_token_resume"),
    path(f"{ONE}revoke/", sub_token_life.sub_token_revoke, name="sub_token_revoke"),
    path("o/<slug:slug>/alerts/", alerts.alerts, name="alerts"),
    path("o/<slug:slug>/alerts/csv/", alerts.alerts_csv, name="alerts_csv"),
    path("o/<slug:slug>/alerts/bell/", alerts.alert_bell, name="alert_bell"),
    path("o/<slug:slug>/alerts/read/", alerts.alerts_read_all, name="alerts_read_all"),
    path("o/<slug:slug>/alerts/rules/", alerts.alert_settings, name="alert_settings"),
    path("o/<slug:slug>/alerts/mine/", alert_preferences.alert_preferences, name="alert_preferences"),
    path("o/<slug:slug>/alerts/mutes/<uuid:mute_id>/end/", alert_preferences.alert_unmute, name="alert_unmute"),
    path("o/<slug:slug>/alerts/<uuid:alert_id>/read/", alerts.alert_read, name="alert_read"),
    path("o/<slug:slug>/alerts/<uuid:alert_id>/mute/", alerts.alert_mute, name="alert_mute"),
    path("o/<slug:slug>/webhooks/", webhooks.webhooks, name="webhooks"),
    path("o/<slug:slug>/webhooks/new/", webhooks.webhook_new, name="webhook_new"),
    path(
        "o/<slug:slug>/webhooks/deliveries/<uuid:delivery_id>/resend/", webhooks.webhook_resend, name="webhook_resend"
    ),
    path(ENDPOINT, webhooks.webhook, name="webhook"),
    path(f"{ENDPOINT}csv/", webhooks.webhook_csv, name="webhook_csv"),
    path(f"{ENDPOINT}change/", webhooks.webhook_change, name="webhook_change"),
    path(f"{ENDPOINT}test/", webhooks.webhook_test, name="webhook_test"),
    path(f"{ENDPOINT}rotate/", webhooks.webhook_rotate, name="webhook_rotate"),
    path(f"{ENDPOINT}delete/", webhooks.webhook_delete, name="webhook_delete"),
]
