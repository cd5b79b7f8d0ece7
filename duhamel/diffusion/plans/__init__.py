"""Samplers as numbers: builders that tabulate a method on a grid of times. NumPy only.

from duhamel.diffusion.plans.registry import build
plan = build("unipc", VP(), steps=10, order=3)
"""
