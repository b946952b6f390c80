"""What can go wrong inside detection, apart from what a caller is told (tenants.api.problems)."""


class ModelFileInvalid(Exception):
    """A model's file is missing or is not the one that its metadata names."""
