from django.urls import path

from tenants.api.audit import AuditChainView, AuditEventExportView, AuditEventListView

urlpatterns = [
    path("audit_events", AuditEventListView.as_view()),
    path("audit_events/chain", AuditChainView.as_view()),
    path("audit_events/export", AuditEventExportView.as_view()),
]
