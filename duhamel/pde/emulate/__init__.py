"""Emulators: networks that learn to do what a solver does, and what that is worth. Names live in the modules."""
