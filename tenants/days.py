"""Days as people pick them on a page."""

from __future__ import annotations

from datetime import date

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

FIRST, LAST = date(2000, 1, 1), date(2200, 12, 31)


class DayField(forms.DateField):
    """A day, UTC, far enough from both ends of the calendar that there is always one before and one after."""

    widget = forms.DateInput(attrs={"type": "date"})
    default_validators = [MinValueValidator(FIRST), MaxValueValidator(LAST)]
