"""The data set on disk is what the ultralytics trainer expects."""

from __future__ import annotations

import json

import cv2
import pytest

from workers.training.boards import draw_board
from workers.training.camera import PICTURE_SIZE
from workers.training.dataset import HELD_OUT_SEED, label_lines, write_dataset
from workers.training.defects import CLASSES


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("pcb")
    return write_dataset(root, {"train": 3, "val": 1, "test": 2}, processes=1)


def test_data_yaml_names_the_classes_and_the_splits(dataset):
    config = json.loads(dataset.read_text())
    assert config["names"] == list(CLASSES)
    assert all((dataset.parent / config[split]).is_dir() for split in ("train", "val", "test"))


def test_every_picture_has_a_label_file_beside_it(dataset):
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        pictures = sorted((dataset.parent / "images" / split).glob("*.jpg"))
        labels = sorted((dataset.parent / "labels" / split).glob("*.txt"))
        assert [p.stem for p in pictures] == [p.stem for p in labels]
        assert len(pictures) == count
        assert cv2.imread(str(pictures[0])).shape == (PICTURE_SIZE, PICTURE_SIZE, 3)


def test_labels_are_the_boxes_in_fractions_of_the_picture(dataset):
    board = draw_board(HELD_OUT_SEED, 0)
    text = (dataset.parent / "labels" / "test" / "board-00000.txt").read_text()
    assert text == label_lines(board.boxes)
    for line, box in zip(text.splitlines(), board.boxes, strict=True):
        class_id, x, y, w, h = (float(v) for v in line.split())
        assert class_id == box.class_id
        corners = ((x - w / 2), (y - h / 2), (x + w / 2), (y + h / 2))
        assert [v * PICTURE_SIZE for v in corners] == pytest.approx(box.bbox, abs=0.01)


def test_boards_that_are_there_are_not_drawn_again(dataset):
    picture = dataset.parent / "images" / "train" / "board-00000.jpg"
    before = picture.stat().st_mtime_ns
    write_dataset(dataset.parent, {"train": 3, "val": 1, "test": 2}, processes=1)
    assert picture.stat().st_mtime_ns == before
