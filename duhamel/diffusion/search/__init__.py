"""Grids that are optimised and recipes that are searched; each search is one function, and gives ordinary plans."""
