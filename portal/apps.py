from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"

    def ready(self) -> None:
        # Every process that rings a doorbell needs the Celery application, and it needs the settings.
        from portal import celery, history  # noqa: F401, PLC0415
