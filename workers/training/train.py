"""Trains the defect detector from nothing with the ultralytics trainer."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.torchvision_shim import install


@dataclass(frozen=True)
class Recipe:
    """What a training run depends on; the defaults are those of the shipped model."""

    architecture: str = "yolo26n"
    img_size: int = 320
    epochs: int = 9
    batch: int = 8
    optimizer: str = "AdamW"
    learning_rate: float = 0.002
    seed: int = 7
    device: str = "cpu"
    threads: int = 2
    watch: bool = True


def train(data: Path, out: Path, recipe: Recipe, resume: bool = False) -> Path:
    """Train on the data set described by `data` and return the path of the stripped weights.

    Everything goes to `out`; with `resume` an interrupted run there is taken up after
    its last whole epoch. On a CPU the same recipe gives the same weights only with
    the same number of threads.
    """
    install()
    os.environ.setdefault("OMP_NUM_THREADS", str(recipe.threads))
    import torch
    from ultralytics import YOLO

    def prepare(trainer: Any) -> None:
        # The trainer leaves one core idle on a CPU and keeps the slower memory layout there.
        if trainer.device.type == "cpu":
            torch.set_num_threads(recipe.threads)
            trainer.model.to(memory_format=torch.channels_last)

    last = out / "weights" / "last.pt"
    model = YOLO(str(last) if resume else f"{recipe.architecture}.yaml", task="detect")
    model.add_callback("on_pretrain_routine_end", prepare)
    if resume:
        model.train(resume=True)
    else:
        model.train(
            data=str(data.resolve()),
            project=str(out.resolve().parent),
            name=out.name,
            exist_ok=True,
            imgsz=recipe.img_size,
            epochs=recipe.epochs,
            batch=recipe.batch,
            nbs=recipe.batch,
            optimizer=recipe.optimizer,
            lr0=recipe.learning_rate,
            lrf=0.01,
            cos_lr=True,
            warmup_epochs=0.3,
            warmup_bias_lr=recipe.learning_rate,
            seed=recipe.seed,
            device=recipe.device,
            workers=1,
            cache="ram",
            amp=recipe.device != "cpu",
            pretrained=False,
            val=recipe.watch,
            plots=False,
            # Boards are drawn with their own light and camera, so only symmetries are left to add.
            mosaic=0.0,
            scale=0.08,
            translate=0.06,
            fliplr=0.5,
            flipud=0.5,
            hsv_h=0.015,
            hsv_s=0.3,
            hsv_v=0.2,
        )
    stripped = out / "pcb-defect-n.pt"
    # The averaged weights of the last epoch: the rate has fallen to nothing by then, and nothing is picked by a score.
    shutil.copyfile(last, stripped)
    return stripped
