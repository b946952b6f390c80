"""Trains the defect detector from nothing with the ultralytics trainer."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.torchvision_shim import install


@dataclass(frozen=True)
class Stage:
    """One run of the trainer. Sizes are pixels; `img_size` varies from batch to batch by `spread` of itself.

    `share` is the part of the training boards that it uses. The learning rate falls along a
    cosine that would reach its end after `epochs`; `stop_after` epochs the stage is over all the same.
    With `keep_statistics` normalization layers use what they have gathered, as they do in inference,
    instead of the batch's own mean and variance.
    """

    name: str
    img_size: int
    spread: float
    epochs: int
    stop_after: int
    share: float
    learning_rate: float
    keep_statistics: bool = False


@dataclass(frozen=True)
class Recipe:
    """What a training depends on; the defaults are those of the shipped model."""

    architecture: str = "yolo26n"
    img_size: int = 480
    batch: int = 8
    optimizer: str = "AdamW"
    seed: int = 7
    device: str = "cpu"
    threads: int = 2
    stages: tuple[Stage, ...] = (
        # Small pictures teach fastest; then all sizes that callers use, ending with a rate of almost nothing.
        Stage("small", img_size=320, spread=0.0, epochs=9, stop_after=3, share=1.0, learning_rate=0.002),
        Stage("all-sizes", img_size=480, spread=1 / 3, epochs=4, stop_after=4, share=0.5, learning_rate=0.001),
        # A batch has one size only, so its own statistics give the size away, which inference cannot see: unlearn that.
        Stage("settle", 480, 1 / 3, epochs=3, stop_after=3, share=0.17, learning_rate=0.0005, keep_statistics=True),
    )

    @property
    def passes_per_board(self) -> float:
        """How often a training board is seen on average."""
        return sum(stage.stop_after * stage.share for stage in self.stages)


def train(data: Path, out: Path, recipe: Recipe, resume: bool = False) -> Path:
    """Train on the data set described by `data` and return the path of the stripped weights.

    Everything goes to `out`, one folder for each stage; with `resume` finished stages there
    are kept and an interrupted one is taken up after its last whole epoch. On a CPU the
    same recipe gives the same weights only with the same number of threads.
    """
    install()
    os.environ.setdefault("OMP_NUM_THREADS", str(recipe.threads))
    weights = f"{recipe.architecture}.yaml"
    for stage in recipe.stages:
        finished = out / f"{stage.name}.pt"
        if not (resume and finished.exists()):
            _run(stage, weights, data, out / stage.name, recipe, resume)
            # The averaged weights of the last epoch: nothing is picked by a score.
            shutil.copyfile(out / stage.name / "weights" / "last.pt", finished)
        weights = str(finished)
    return Path(weights)


def _run(stage: Stage, weights: str, data: Path, out: Path, recipe: Recipe, resume: bool) -> None:
    import torch
    from ultralytics import YOLO

    def prepare(trainer: Any) -> None:
        # The trainer leaves one core idle on a CPU and keeps the slower memory layout there.
        if trainer.device.type == "cpu":
            torch.set_num_threads(recipe.threads)
            trainer.model.to(memory_format=torch.channels_last)

    def stop(trainer: Any) -> None:
        trainer.stop = trainer.stop or trainer.epoch + 1 >= stage.stop_after

    def keep_statistics(trainer: Any) -> None:
        for module in trainer.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()

    last = out / "weights" / "last.pt"
    resume = resume and last.exists()
    model = YOLO(str(last) if resume else weights, task="detect")
    model.add_callback("on_pretrain_routine_end", prepare)
    model.add_callback("on_fit_epoch_end", stop)
    if stage.keep_statistics:
        model.add_callback("on_train_batch_start", keep_statistics)
    if resume:
        model.train(resume=True)
        return
    model.train(
        data=str(data.resolve()),
        project=str(out.resolve().parent),
        name=out.name,
        exist_ok=True,
        imgsz=stage.img_size,
        multi_scale=stage.spread,
        epochs=stage.epochs,
        fraction=stage.share,
        batch=recipe.batch,
        nbs=recipe.batch,
        optimizer=recipe.optimizer,
        lr0=stage.learning_rate,
        lrf=0.01,
        cos_lr=True,
        warmup_epochs=0.3,
        warmup_bias_lr=stage.learning_rate,
        seed=recipe.seed,
        device=recipe.device,
        workers=1,
        cache="ram",
        amp=recipe.device != "cpu",
        # Of an architecture's file the trainer makes the seeded weights itself.
        pretrained=weights.endswith(".pt"),
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
