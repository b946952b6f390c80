"""The pages about Tokens."""

from django.urls import path

from billing.views import sub_token_life, sub_tokens
from billing.views.balance import balance_pill
from billing.views.forecast import forecast_csv, forecast_page
from billing.views.grants import grants
from billing.views.ledger import ledger, ledger_csv

ONE = "o/<slug:slug>/sub-tokens/<uuid:sub_token_id>/"

urlpatterns = [
    path("o/<slug:slug>/balance/", balance_pill, name="balance_pill"),
    path("o/<slug:slug>/forecast/", forecast_page, name="forecast"),
    path("o/<slug:slug>/forecast.csv", forecast_csv, name="forecast_csv"),
    path("o/<slug:slug>/ledger/", ledger, name="ledger"),
    path("o/<slug:slug>/ledger.csv", ledger_csv, name="ledger_csv"),
    path("o/<slug:slug>/grants/", grants, name="grants"),
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
]
