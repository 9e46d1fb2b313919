"""The command that spends recorded judgments as a live project would."""

from __future__ import annotations

from typing import Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import emitting, table


@click.command("replay")
@click.argument("file", metavar="FILE")
@click.option("--gold", metavar="FILE", help="Known answers (item, answer); they only score, and never change what is bought.")
@click.option("--method", default="auto", show_default=True, help="The aggregator.")
@click.option("--target", default=0.95, show_default=True, help="How certain an item must be that further judgments change nothing.")
@click.option("--choose-people", is_flag=True, help="Choose among the people who answered an item (default: random arrival).")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the order of arrival.")
@emitting
def replay_command(file: str, gold: str | None, **options: Any) -> Any:
    """Replay recorded judgments (FILE: item, annotator, answer): how many would have been bought, and what they were worth."""
    from preceptor.guidance import replay
    from preceptor.project.columns import read_gold, read_judgments

    found = replay(read_judgments(file), gold=read_gold(gold) if gold else None, **options)
    rows = [("judgments bought", f"{found.judgments_used:,} of {found.judgments_available:,} ({found.fraction:.1%})")]
    scored = (
        ("accuracy", found.accuracy),
        ("accuracy with all of them", found.full_accuracy),
        ("spread evenly instead", found.fixed_accuracy),
    )
    rows += [(name, str(estimate)) for name, estimate in scored if estimate is not None]
    rows += [("same answer as with all", str(found.agreement)), ("as the stop rule claims", f"{found.claimed:.3f}")]
    return found.to_dict(), table(("", ""), rows).lstrip("\n")
