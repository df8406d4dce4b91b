"""Measures how fast an `amago` package is, beside what the machine itself can do.

A package of its own, so that it can be imported beside any `amago`: it never imports the one that
it lies next to. What runs in a child process (`child`, `work`, `worlds`, `cases`) keeps to Python
3.10 and to names that AMAGO 3.x has too.
"""
