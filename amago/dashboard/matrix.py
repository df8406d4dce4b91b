"""The environment x metric matrix of an evaluation section."""

from typing import Any

from amago.dashboard.encoding import numbers
from amago.dashboard.evaluations import Grid, env_names, parse
from amago.tracking.run import Run


def grid_of(run: Run, section: str) -> Grid:
    """The numeric metrics of `section` by environment."""
    names = [metric.name for metric in run.metrics if metric.kind == "number"]
    return parse(names, section, env_names(run.axes))


def matrix(run: Run, section: str, x: str, points: int) -> dict[str, Any]:
    """Rows are environments; a cell has the last value and at most `points` values over `x`."""
    grid = grid_of(run, section)
    last = {metric.name: metric.last for metric in run.metrics}
    series = run.many_series(list(grid.names.values()), x, points=points)

    def cell(env: str, metric: str) -> dict[str, Any] | None:
        name = grid.names.get((env, metric))
        if name is None:
            return None
        return {"last": last[name], "spark": numbers(series[name].y) if name in series else []}

    return {
        "envs": grid.envs,
        "metrics": grid.metrics,
        "cells": [[cell(env, metric) for metric in grid.metrics] for env in grid.envs],
    }
