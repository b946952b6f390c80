from detection.models.catalogue import Model, ModelVersion
from detection.models.jobs import FairShareClock, IdempotentCall, Job, VirtualTime
from detection.models.spare import SpareInput
from detection.models.usage import (
    DailyUsage,
    HourlyUsage,
    OrganizationDay,
    OrganizationHour,
    OrganizationTag,
    TagUsage,
    WeeklyUsage,
)
from detection.models.waiting import WaitingInput

__all__ = [
    "DailyUsage",
    "FairShareClock",
    "HourlyUsage",
    "IdempotentCall",
    "Job",
    "Model",
    "ModelVersion",
    "OrganizationDay",
    "OrganizationHour",
    "OrganizationTag",
    "SpareInput",
    "TagUsage",
    "VirtualTime",
    "WaitingInput",
    "WeeklyUsage",
]
