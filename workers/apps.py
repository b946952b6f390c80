import os

from django.apps import AppConfig
from django.conf import settings


class WorkersConfig(AppConfig):
    name = "workers"

    def ready(self) -> None:
        # OpenCV reads its limit once, when it is imported.
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.MAX_IMAGE_PIXELS))
        # What it thinks of a broken image goes to the caller, not to the log.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
