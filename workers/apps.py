import os

from django.apps import AppConfig
from django.conf import settings


class WorkersConfig(AppConfig):
    name = "workers"

    def ready(self) -> None:
        # The libraries read these once, when they are imported.
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings.MAX_IMAGE_PIXELS))
        # What OpenCV thinks of a broken image goes to the caller, not to the log.
        os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
        # A checkpoint is a pickle: weights and known classes may be in it, and no code.
        os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
        # Nor may it name packages that are then installed.
        os.environ["YOLO_AUTOINSTALL"] = "false"
