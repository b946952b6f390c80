"""The only doors to servers that are not ours."""
