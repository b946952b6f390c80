"""Rows as people name them on a page, where there may be too many for a list to choose from."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms
from django.db.models import Model, QuerySet
from django.utils.translation import gettext_lazy as _


class NamedRowField(forms.CharField):
    """A row of the organization in scope: by its id, as links give it, or by its name, as people type it.

    Of several rows of one name it takes the newest. Cleans to the row, or to None where nothing was given.
    """

    default_error_messages = {"unknown": _("There is nothing of this name.")}

    def __init__(self, queryset: QuerySet[Any], *, by: str = "name", **kwargs: Any) -> None:
        super().__init__(max_length=200, **kwargs)
        self.queryset, self.by = queryset, by

    def clean(self, value: Any) -> Any:
        """Return the row. Raises ValidationError."""
        text = super().clean(value)
        if not text:
            return None
        found = self._find(text)
        if found is None:
            raise forms.ValidationError(self.error_messages["unknown"], code="unknown")
        return found

    def prepare_value(self, value: Any) -> Any:
        """Show the name of what was given by its id."""
        if isinstance(value, str) and _as_id(value):
            found = self._find(value)
            return getattr(found, self.by, value) or value
        return value

    def _find(self, text: str) -> Model | None:
        row_id = _as_id(text)
        rows = self.queryset.all()
        return (rows.filter(id=row_id) if row_id else rows.filter(**{self.by: text}).order_by("-id")).first()


def _as_id(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
