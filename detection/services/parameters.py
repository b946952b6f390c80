"""What a caller may ask of a model, checked: from JSON, or from the text of a form or a query."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from billing.tags import checked_tags
from detection.queries.catalogue import CatalogueModel, CatalogueVersion, catalogue
from tenants.api.problems import Problem

MIN_SIZE, MAX_SIZE, SIZE_STEP = 32, 1280, 32
MAX_DETECTIONS = 300
_INTEGER = re.compile(r"[+-]?\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d{1,9}(\.\d{0,18})?|\.\d{1,18})([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Parameters:
    """A checked question: `conf` and `iou` from 0 to 1, `classes` sorted ids or None for all, `tags` name to value.

    `version` is None for a model that is listed but not installed.
    """

    model: CatalogueModel
    version: CatalogueVersion | None
    img_size: int
    conf: float
    iou: float
    max_det: int
    classes: tuple[int, ...] | None
    tags: dict[str, str]

    def for_engine(self) -> dict[str, Any]:
        """Return what decides the predictions, apart from model and size."""
        return {
            "conf": self.conf,
            "iou": self.iou,
            "max_det": self.max_det,
            "classes": None if self.classes is None else list(self.classes),
        }


NAMES = frozenset({"model", "img_size", "conf", "iou", "max_det", "classes", "tags"})


def read_parameters(fields: Mapping[str, Any], *, textual: bool, also: frozenset[str] = frozenset()) -> Parameters:
    """Check the fields of a request; `textual` when all values are text, as in a form or a query.

    `also` names fields that the caller of this function reads itself. Raises Problem: `validation_error` with every
    field that is wrong, or `not_found` for a model that does not exist.
    """
    errors: dict[str, list[dict[str, str]]] = {}

    def field(name: str, check: Callable[[Any, bool], Any], default: Any) -> Any:
        value = fields.get(name)
        if value is None or (textual and value == ""):
            return default
        try:
            return check(value, textual)
        except ValueError as error:
            errors[name] = [{"message": str(error), "code": "invalid"}]
            return default

    for name in fields.keys() - NAMES - also:
        errors[str(name)[:80]] = [{"message": "There is no such parameter.", "code": "unknown"}]
    name = field("model", _text, None)
    img_size = field("img_size", _size, None)
    conf = field("conf", _fraction, 0.25)
    iou = field("iou", _fraction, 0.7)
    max_det = field("max_det", _max_det, MAX_DETECTIONS)
    wanted = field("classes", _classes, None)
    tags = field("tags", _tags, {})
    if name is None and "model" not in errors:
        errors["model"] = [{"message": "Say which model: GET /v1/models lists them.", "code": "required"}]

    model, version = _find(name) if "model" not in errors else (None, None)
    classes = None
    if version is not None and wanted:
        try:
            classes = _class_ids(wanted, version)
        except ValueError as error:
            errors["classes"] = [{"message": str(error), "code": "invalid"}]
    if errors or model is None:
        raise Problem("validation_error", "Some parameters are not valid: " + ", ".join(sorted(errors)), errors=errors)
    return Parameters(
        model=model,
        version=version,
        img_size=img_size or (version.default_img_size if version else 640),
        conf=conf,
        iou=iou,
        max_det=max_det,
        classes=classes,
        tags=tags,
    )


def _find(name: str) -> tuple[CatalogueModel, CatalogueVersion | None]:
    """Return the model called `name` or `name@version`, and the version that serves the call."""
    model_name, _, version_name = name.partition("@")
    model = catalogue().models.get(model_name)
    version = None
    if model is not None:
        version = model.version(version_name) if version_name else model.current
    if model is None or (version_name and version is None):
        raise Problem("not_found", f"There is no model {name[:80]!r}: GET /v1/models lists them.")
    return model, version if version and version.installed else None


def _class_ids(wanted: Sequence[int | str], version: CatalogueVersion) -> tuple[int, ...]:
    ids = set()
    for item in wanted:
        number = version.class_ids.get(item) if isinstance(item, str) else item
        if number is None and isinstance(item, str) and _INTEGER.fullmatch(item):
            number = int(item)
        if number is None or not 0 <= number < len(version.classes):
            raise ValueError(f"The model has no class {item!r}."[:200])
        ids.add(number)
    return tuple(sorted(ids))


def _text(value: Any, textual: bool) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 120:
        raise ValueError("This must be a text of 1 to 120 characters.")
    return value


def _integer(value: Any, textual: bool) -> int:
    if textual and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("This must be a whole number.")


def _size(value: Any, textual: bool) -> int:
    size = _integer(value, textual)
    if not MIN_SIZE <= size <= MAX_SIZE or size % SIZE_STEP:
        raise ValueError(f"This must be a multiple of {SIZE_STEP} from {MIN_SIZE} to {MAX_SIZE}.")
    return size


def _max_det(value: Any, textual: bool) -> int:
    number = _integer(value, textual)
    if not 1 <= number <= MAX_DETECTIONS:
        raise ValueError(f"This must be from 1 to {MAX_DETECTIONS}.")
    return number


def _fraction(value: Any, textual: bool) -> float:
    if textual and _NUMBER.fullmatch(value):
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("This must be a number.")
    if not 0 <= value <= 1:
        raise ValueError("This must be from 0 to 1.")
    return float(value)


def _classes(value: Any, textual: bool) -> list[int | str]:
    if textual:
        value = [item.strip() for item in value.split(",") if item.strip()]
    if not isinstance(value, list) or len(value) > 1000:
        raise ValueError("This must be a list of class ids or names.")
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | str):
            raise ValueError("This must be a list of class ids or names.")
    return value


def _tags(value: Any, textual: bool) -> dict[str, str]:
    if textual:
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError('This must be a JSON object of texts, such as {"line": "3"}.') from None
    return checked_tags(value)
