from detection.models.catalogue import Model, ModelVersion
from detection.models.jobs import FairShareClock, Job, VirtualTime

__all__ = ["FairShareClock", "Job", "Model", "ModelVersion", "VirtualTime"]
