"""What can go wrong inside detection, apart from what a caller is told (tenants.api.problems)."""


class ModelFileInvalid(Exception):
    """A model's file is missing or is not the one that its metadata names."""


class NotStuck(Exception):
    """What staff wanted to put right by hand is not in the state for it; `str(error)` says why."""
