from django.urls import path

from billing.api.balance import BalanceView, GrantListView
from billing.api.ledger import TransferListView
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
from billing.api.teams import TeamListView

urlpatterns = [
    path("balance", BalanceView.as_view()),
    path("grants", GrantListView.as_view()),
    path("ledger/transfers", TransferListView.as_view()),
    path("sub_tokens", SubTokenListView.as_view()),
    path("sub_tokens/bulk", BulkView.as_view()),
    path("sub_tokens/lookup", LookupView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>", SubTokenView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/allocate", AllocateView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/reclaim", ReclaimView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/rotate", RotateView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/end_grace", EndGraceView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/suspend", SuspendView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/resume", ResumeView.as_view()),
    path("sub_tokens/<uuid:sub_token_id>/revoke", RevokeView.as_view()),
    path("teams", TeamListView.as_view()),
]
