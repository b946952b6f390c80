"""The closed sets of words that detection's rows use."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Task(models.TextChoices):
    """What a model answers with."""

    DETECT = "detect", _("Detection")


class Engine(models.TextChoices):
    """What runs a model's file; `null` answers nothing at once, to measure everything but inference."""

    ONNX = "onnx", "ONNX Runtime"
    TORCH = "torch", "PyTorch"
    NULL = "null", _("None")


class Channel(models.TextChoices):
    """Which calls a version serves: all that name no version, or only those that ask for it by version."""

    STABLE = "stable", _("Stable")
    CANDIDATE = "candidate", _("Candidate")


class JobStatus(models.TextChoices):
    WAITING = "waiting", _("Waiting for Tokens")
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")


FINISHED = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})


class JobError(models.TextChoices):
    """Why a job failed; only the first two are the caller's doing. None of them costs a Token."""

    INVALID_IMAGE = "invalid_image", _("The image cannot be decoded")
    IMAGE_TOO_LARGE = "image_too_large_to_decode", _("The image has too many pixels")
    INFERENCE_FAILED = "inference_failed", _("The model failed on this image")
    MODEL_UNAVAILABLE = "model_unavailable", _("The model could not be loaded")
    INPUT_LOST = "input_lost", _("The image was lost before it was processed")
    WORKER_LOST = "worker_lost", _("The workers that ran it died")
    TIMED_OUT = "timed_out", _("Its time was over before a worker was free")
    NO_CAPACITY = "no_capacity", _("It could not be handed to a worker")
    INSUFFICIENT_TOKENS = "insufficient_tokens", _("No Tokens arrived for it in its time")
    SUB_TOKEN_ENDED = "sub_token_ended", _("Its sub-token was revoked or expired while it waited")
