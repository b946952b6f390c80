from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"

    def ready(self) -> None:
        """Let the audit log hear what django-allauth tells."""
        from tenants.views import sign_in_events  # noqa: PLC0415 models are not loaded before

        sign_in_events.connect()
