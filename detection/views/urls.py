"""The pages about calls."""

from django.urls import path

from detection.views import playground
from detection.views.calls import call, call_cancel, calls, calls_csv
from detection.views.usage import usage_csv, usage_page

urlpatterns = [
    path("o/<slug:slug>/calls/", calls, name="calls"),
    path("o/<slug:slug>/calls.csv", calls_csv, name="calls_csv"),
    path("o/<slug:slug>/calls/<uuid:job_id>/", call, name="call"),
    path("o/<slug:slug>/calls/<uuid:job_id>/cancel/", call_cancel, name="call_cancel"),
    path("o/<slug:slug>/usage/", usage_page, name="usage"),
    path("o/<slug:slug>/usage.csv", usage_csv, name="usage_csv"),
    path("o/<slug:slug>/playground/", playground.playground, name="playground"),
    path("o/<slug:slug>/playground/quote/", playground.playground_quote, name="playground_quote"),
    path("o/<slug:slug>/playground/run/", playground.playground_run, name="playground_run"),
    path("o/<slug:slug>/playground/<uuid:job_id>/", playground.playground_result, name="playground_result"),
]
