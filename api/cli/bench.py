"""``axiom bench``: the engine's speed on this machine, beside what the machine could do without it."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from . import exits, output

MEASURES = ("chain", "http", "fanout", "frames", "takeover", "long", "stored", "scale", "parked")
"""The names of ``axiom.api.bench.suite``, which is not imported for ``--help``."""


@click.command()
@click.option(
    "--only", "names", multiple=True, type=click.Choice(MEASURES), help="Measure this; may be repeated."
)
@click.option(
    "--store",
    type=click.Choice(["sqlite", "redis", "both"]),
    default="both",
    show_default=True,
    help="On which kind of store. Both are made for the bench and removed after it.",
)
@click.option("--quick", is_flag=True, help="A minute or two instead of ten; noisier.")
@click.option("--full", is_flag=True, help="Park 100,000 runs instead of 10,000.")
@click.option("--json", "json_", is_flag=True, help="Print JSON.")
def bench(names: tuple[str, ...], store: str, quick: bool, full: bool, json_: bool) -> int:
    """Measure the engine against the limits of this machine.

    Each figure stands beside its limit: what a bare loop, with no engine, does on the same disk, server or socket, in
    rounds that take turns. The limit is the machine's; the ratio is the engine's.

    \b
    Example:
      axiom bench --only chain --store sqlite --quick
    """
    if quick and full:
        raise exits.usage("--quick and --full contradict each other")
    signal.signal(
        signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT)
    )  # tidy up then, too
    from ..bench import report, suite
    from ..bench.beds import FULL, QUICK, STORES, Size

    size = QUICK if quick else FULL if full else Size()
    stores = STORES if store == "both" else (store,)
    missing = suite.missing(stores)
    plans = suite.planned(names, [name for name in stores if name not in missing])
    for name, reason in missing.items():
        output.note(f"{name} is left out: {reason}")
    machine = suite.machine()
    for warning in suite.warnings(machine):
        output.note(f"note: {warning}")
    figures = _measure(plans, size)
    if json_:
        told: dict[str, Any] = {"machine": machine, "missing": missing}
        output.as_json(told | {"figures": [figure.as_json() for figure in figures]})
    else:
        output.table(report.COLUMNS, map(report.row, figures))
        output.note(report.summary(figures))
    return exits.DONE


def _measure(plans: list[Any], size: Any) -> list[Any]:
    """Measure one after the other, with a line of progress on stderr."""
    from rich.console import Console

    from ..bench import suite

    console = Console(file=sys.stderr)
    figures = []
    for number, plan in enumerate(plans, 1):
        with console.status(f"{number}/{len(plans)} {plan}"):
            figures += suite.measured(plan, size)
    return figures
