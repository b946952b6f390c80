"""`manage.py models pull`: from a checkpoint to a model that runs, with a file in place of the download."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from detection.models import ModelVersion
from detection.services import catalogue
from tests.detection.images import picture
from workers import torchvision_shim
from workers.decode import decode
from workers.pool import build

torch = pytest.importorskip("torch")
torchvision_shim.install()
ultralytics = pytest.importorskip("ultralytics")
downloads = pytest.importorskip("ultralytics.utils.downloads")

pytestmark = [pytest.mark.django_db, pytest.mark.torch]


@pytest.fixture(autouse=True)
def _data_directory(settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with untrained weights of two families."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    for name in ("yolo26n", "yolov8n"):
        ultralytics.YOLO(f"{name}.yaml").save(str(folder / f"{name}.pt"))
    return folder


@pytest.fixture
def reachable(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the download find the checkpoints, and return the addresses that it asks for."""
    asked: list[str] = []

    def download(*, url: str, file: Path, **_: object) -> None:
        asked.append(url)
        Path(file).write_bytes((checkpoints / Path(file).name).read_bytes())

    monkeypatch.setattr(downloads, "safe_download", download)
    return asked


@pytest.mark.parametrize(("name", "end_to_end"), [("yolo26n", True), ("yolov8n", False)])
def test_a_pulled_model_is_installed_and_runs(
    name: str, end_to_end: bool, reachable: list[str], tmp_path: Path
) -> None:
    catalogue.sync()
    output = io.StringIO()
    call_command("models", "pull", name, stdout=output)
    assert reachable == [f"https://github.com/ultralytics/assets/releases/download/v8.4.0/{name}.pt"]
    file = tmp_path / "models" / name / "8.4.0" / "model.onnx"
    assert str(file) in output.getvalue()

    version = ModelVersion.objects.get(model__name=name)
    assert (version.version, version.installed, version.file) == ("8.4.0", True, file)
    assert (version.end_to_end, version.stride) == (end_to_end, 32)
    assert len(version.classes) == 80
    (found,) = build(version).infer([decode(picture())], 320, confidence=0.0)
    assert found.suppressed == end_to_end
    assert len(found.scores) > 0
    assert np.isfinite(found.boxes).all()

    assert f"{name}@8.4.0" in catalogue.sync().installed


def test_a_file_brought_by_hand_is_installed_once(checkpoints: Path, tmp_path: Path) -> None:
    for _ in range(2):
        call_command("models", "pull", "yolov8n", "--weights", str(checkpoints / "yolov8n.pt"), stdout=io.StringIO())
    version = ModelVersion.objects.get(model__name="yolov8n").version
    assert version.startswith("file-")
    assert [path.name for path in (tmp_path / "models" / "yolov8n").iterdir()] == [version]


def test_a_closed_network_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(downloads, "safe_download", away)
    with pytest.raises(CommandError, match=r"v8\.4\.0/yolo26n\.pt cannot be downloaded .* --weights yolo26n\.pt"):
        call_command("models", "pull", "yolo26n")
    assert not ModelVersion.objects.filter(model__name="yolo26n").exists()


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"no pickle at all")
    with pytest.raises(CommandError, match="is not a detection model"):
        call_command("models", "pull", "yolo26n", "--weights", str(tmp_path / "x.pt"))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("models", "pull", "yolo26n", "--weights", str(tmp_path / "y.pt"))
    with pytest.raises(CommandError, match="no official model"):
        call_command("models", "pull", "resnet50")
    assert not (Path(tmp_path) / "models").exists()


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "owned",))

    torch.save({"model": Attack()}, tmp_path / "attack.pt", pickle_module=pickle)
    with pytest.raises(CommandError, match="is not a detection model"):
        call_command("models", "pull", "yolo26n", "--weights", str(tmp_path / "attack.pt"))
    assert not (tmp_path / "owned").exists()
