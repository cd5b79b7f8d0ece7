"""Families of plans to be fitted, and the recipe that chooses among them. See `tune`."""
