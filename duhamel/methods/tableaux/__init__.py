"""Runge-Kutta methods as plain numbers with their sources: no code, and no import beyond Python's own."""
