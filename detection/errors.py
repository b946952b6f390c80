"""What can go wrong inside detection, apart from what a caller is told (tenants.api.problems)."""


class ModelFileInvalid(Exception):  # noqa: N818 says what is the case
    """A model's file is missing or is not the one that its metadata names."""
