"""Makes `import torchvision` succeed where its compiled operators do not load.

The CPU build of torch has no matching torchvision on PyPI: only the CUDA build
exists, its shared library does not load, and `import torchvision` then fails
because the operators `torchvision::nms` and `torchvision::qnms` are missing.
ultralytics needs nothing of torchvision but `nms`, for which it carries a pure
torch version of its own, so those two names are all that has to be defined.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

# torch.library objects unregister their operators when collected.
_library: Any = None


def install() -> bool:
    """Import torchvision, defining its missing operators if that is what stops it.

    Call it before anything that imports torchvision (ultralytics' predictor,
    validator and exporter do). Does nothing where torchvision works, and nothing
    the second time.

    Returns:
        True if the operators had to be defined, False if torchvision works alone.

    Raises:
        ImportError: torch or torchvision is not installed.
    """
    global _library
    if _library is not None:
        return True
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    else:
        return False

    # The failed import leaves half-initialised submodules behind.
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]

    import torch

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.impl("nms", _nms, "CompositeExplicitAutograd")
    library.impl("qnms", _nms, "CompositeExplicitAutograd")
    _library = library

    importlib.import_module("torchvision")
    # Each module bound the check by name, so it is replaced where nms looks for it.
    boxes = importlib.import_module("torchvision.ops.boxes")
    boxes._assert_has_ops = lambda: None  # type: ignore[attr-defined]
    return True


def _nms(dets: Any, scores: Any, iou_threshold: float) -> Any:
    """Indices of the boxes to keep, best first: (N, 4) xyxy and (N,) -> (K,) int64."""
    from ultralytics.utils.nms import TorchNMS

    return TorchNMS.nms(dets, scores, iou_threshold)
