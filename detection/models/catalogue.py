from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from detection.enums import Channel, Engine, Task
from tenants.identifiers import new_id

SHIPPED = Path(settings.BASE_DIR) / "detection" / "catalog"


class Model(models.Model):
    """A model that callers name. Belongs to the platform; the runtime role only reads it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(_("name"), max_length=80, unique=True)
    family = models.CharField(_("family"), max_length=40)
    letter = models.CharField(_("size letter"), max_length=1)
    task = models.CharField(_("task"), max_length=16, choices=Task.choices, default=Task.DETECT)
    title = models.CharField(_("title"), max_length=120)
    description = models.TextField(_("description"), blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(letter__in=["n", "s", "m", "l", "x"]), name="model_letter_known")
        ]

    def __str__(self) -> str:
        return self.name


class ModelVersion(models.Model):
    """One trained file of a model. `path` is relative to the folder of models, pulled or shipped."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    model = models.ForeignKey(Model, on_delete=models.PROTECT, related_name="versions")
    version = models.CharField(_("version"), max_length=40)
    channel = models.CharField(_("channel"), max_length=16, choices=Channel.choices, default=Channel.STABLE)
    engine = models.CharField(_("engine"), max_length=8, choices=Engine.choices, default=Engine.ONNX)
    path = models.CharField(_("path"), max_length=300, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    classes = models.JSONField(_("classes"), default=list)
    end_to_end = models.BooleanField(_("needs no NMS"), default=False)
    stride = models.PositiveSmallIntegerField(default=32)
    default_img_size = models.PositiveSmallIntegerField(default=640)
    metrics = models.JSONField(_("metrics"), default=dict, blank=True)
    installed = models.BooleanField(_("installed"), default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "version"], name="model_version_once")]

    def __str__(self) -> str:
        return f"{self.model_id}@{self.version}"

    @property
    def file(self) -> Path:
        """Where the file lies on this machine: what an operator pulled comes before what is shipped."""
        pulled = Path(settings.DATA_DIR) / "models" / self.path
        return pulled if pulled.exists() else SHIPPED / self.path
