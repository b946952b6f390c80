"""The catalogue lists what is official and shipped, and knows what is installed."""

from io import StringIO

import pytest
from django.core.management import call_command

from detection.models import Model, ModelVersion
from detection.queries.catalogue import catalogue
from detection.services.catalogue import sync
from tenants.scope import platform_scope

pytestmark = pytest.mark.django_db


def test_a_sync_lists_three_official_families_in_five_sizes() -> None:
    sync()
    names = set(Model.objects.values_list("name", flat=True))
    assert {f"{family}{letter}" for family in ("yolo26", "yolo11", "yolov8") for letter in "nsmlx"} <= names
    assert catalogue().models["yolov8l"].letter == "l"
    assert catalogue().models["yolo26n"].current is None


def test_a_second_sync_changes_nothing() -> None:
    first = sync()
    before = list(Model.objects.order_by("id").values()), list(ModelVersion.objects.order_by("id").values())
    assert sync() == first
    assert (list(Model.objects.order_by("id").values()), list(ModelVersion.objects.order_by("id").values())) == before


def test_an_installed_version_is_current(version: ModelVersion) -> None:
    model = catalogue().models["blank-n"]
    assert model.current is not None
    assert model.current.id == version.id
    assert model.current.class_ids == {"open": 0, "short": 1}


def test_a_version_whose_file_is_gone_is_not_installed(version: ModelVersion) -> None:
    with platform_scope("test"):
        ModelVersion.objects.filter(id=version.id).update(engine="onnx", path="gone/1/model.onnx")
    assert "blank-n@1.0.0" not in sync().installed
    assert catalogue().models["blank-n"].current is None


def test_the_list_says_what_is_not_installed(version: ModelVersion) -> None:
    out = StringIO()
    call_command("models", "list", stdout=out)
    lines = {line.split()[0]: line for line in out.getvalue().splitlines()}
    assert lines["yolo26n"].endswith("not installed")
    assert "1.0.0 (null, stable)" in lines["blank-n"]
