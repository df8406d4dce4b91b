"""Writes docs/metrics.md, the page of every metric, from the declarations in amago/tracking.

python scripts/metrics_page.py            rewrite the page
python scripts/metrics_page.py --check    exit status 1 if the page is not what would be written
"""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from amago.tracking.metrics import Metric, all_metrics, section_order

PAGE = Path(__file__).resolve().parent.parent / "docs" / "metrics.md"

INTRO = """# Metrics

Written by `scripts/metrics_page.py` from the declarations in `amago/tracking`: change those.

What a run records, section by section, in the order in which it is shown. A name in braces stands
for what the run puts there: `{name}` an environment's name, `{metric}` what an environment
reports, `{gamma}` a discount, `{dataset}` a member of a mixture of datasets. Whatever else an
agent, a dataset or an environment of yours reports is recorded too, in the section it was given to.

In the formulas, m is the mask of valid transitions and
`mean_m(x) = sum(x m) / (sum(m) + 1e-5)`; B sequences of L stored timesteps make a batch; r is a
reward, Q what the critics say, y the TD target, pi the policy. A minimum, maximum or percentile of
`train/` is over the valid transitions, all critics and all discounts. With
`reward_multiplier` the units of values differ from those of `val/` by that factor.
"""

SECTIONS = {
    "test": "`Experiment.evaluate_test`, when the finished run has called it: the episodes of all "
    "processes that finished, each counted once.",
    "dataset": "What the dataset holds. Once an epoch, after collecting. In a mixture, each "
    "member's metrics carry its name.",
    "Charts": "The x-axes. Every row carries all of them, and none ever goes back.",
    "train": "What the agent and the optimiser do: for looking into a run that does not learn. "
    "Every `log_interval` batches. You can probably ignore it while `val/` rises.",
    "val": "How good the policy is: `Experiment.evaluate_val`, every `val_interval` epochs. The "
    "episodes of all processes that finished, each counted once.",
    "test_episodes": "Beside `test/`, in the same row.",
    "val_episodes": "Beside `val/`, in the same row.",
    "System": "The machine. At most every 30 seconds, with a row of another section. Rates are "
    "since the row before. W&B records these by itself, under its own names.",
}


def main() -> int:
    """Write the page, or compare it; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is up to date")
    if not parser.parse_args().check:
        PAGE.write_text(page(all_metrics()), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page(all_metrics()):
        return 0
    sys.stderr.write(f"{PAGE} is out of date: run python scripts/metrics_page.py\n")
    return 1


def page(metrics: Iterable[Metric]) -> str:
    """The whole page, Markdown."""
    metrics = list(metrics)
    parts = [INTRO]
    for section in section_order(metric.name for metric in metrics):
        rows = (_row(metric) for metric in metrics if metric.section == section)
        parts.append("\n".join([f"## {section}", "", SECTIONS[section], "", *_table(rows), ""]))
    return "\n".join(parts)


def _table(rows: Iterable[str]) -> Iterator[str]:
    yield "| name | unit | what it tells | how it is computed | where |"
    yield "|---|---|---|---|---|"
    yield from rows


def _row(metric: Metric) -> str:
    name = metric.name.removeprefix(f"{metric.section}/")
    source = f"[{Path(metric.source).name}](../{metric.source})"
    cells = (f"`{name}`", _text(metric.unit), _text(metric.says), _text(metric.formula), source)
    return f"| {' | '.join(cells)} |"


def _text(text: str) -> str:
    """`text` as it is: nothing in it is Markdown."""
    for character in r"\`*[<|":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    sys.exit(main())
