"""Engines: what turns a batch of images into candidate boxes, one kind per inference library."""
