from detection.models.catalogue import Model, ModelVersion
from detection.models.jobs import FairShareClock, Job, VirtualTime
from detection.models.usage import DailyUsage, HourlyUsage, TagUsage

__all__ = ["DailyUsage", "FairShareClock", "HourlyUsage", "Job", "Model", "ModelVersion", "TagUsage", "VirtualTime"]
