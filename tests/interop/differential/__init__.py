"""Tests: one sequence of calls, told to two daemons."""
