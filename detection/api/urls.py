from django.urls import path

from detection.api.detect import DetectView, EstimateView
from detection.api.exports import CallExportView
from detection.api.jobs import CancelView, JobListView, JobView
from detection.api.models import ModelListView
from detection.api.usage import UsageView

urlpatterns = [
    path("detect", DetectView.as_view()),
    path("estimate", EstimateView.as_view()),
    path("models", ModelListView.as_view()),
    path("jobs", JobListView.as_view()),
    path("jobs/export", CallExportView.as_view()),
    path("jobs/<uuid:job_id>", JobView.as_view()),
    path("jobs/<uuid:job_id>/cancel", CancelView.as_view()),
    path("usage", UsageView.as_view()),
]
