"""Rows as training sees them, on a terminal: what is learnt stands in [brackets] and green, what is only read is dim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from preceptor.errors import UserError


def check_rows(seen: Mapping[str, Any]) -> None:
    """Raise UserError where a split of a dry run has no row left to train on, as the training itself would."""
    for split, rows in seen["rows"].items():
        if not rows and split in ("train", "validation"):
            reasons = ", ".join(f"{count:,} × {reason}" for reason, count in seen["left_out"].get(split, {}).items())
            message = f"no row of the {split} split can be trained on{': ' + reasons if reasons else ''}"
            raise UserError(message, "judge more items, or take a snapshot of rows that this recipe reads")


def as_tokens(seen: Mapping[str, Any]) -> str:
    """The document of a dry run for people."""
    lines = [f"template: {seen['template']}"]
    for split, rows in seen["rows"].items():
        tokens, learnt = seen["tokens"][split], seen["supervised_tokens"][split]
        of_which = f", of which {learnt:,} are learnt" if learnt else ""
        lines.append(f"{split}: {rows:,} rows, {tokens:,} tokens{of_which}; the longest has {seen['longest'][split]:,}")
        if filling := seen.get("filling", {}).get(split):
            lines.append(f"  {filling:,} fill all tokens that are read (max_tokens): what they say beyond isn't")
        lines += [f"  left out: {count:,} × {reason}" for reason, count in seen["left_out"][split].items()]
    lines += [f"  {row['split']} {row['id']}: {row['words']}" for row in seen["left_out_rows"]]
    lines += seen.get("notes", [])
    for example in seen["examples"]:
        lines += ["", click.style(f"row {example['id']}", bold=True), "".join(map(_token, example["tokens"]))]
        if "rejected" in example:
            lines += [f"is better than, at {example['probability']:.0%}:", "".join(map(_token, example["rejected"]))]
        lines += [f"  {share:.0%} {answer}" for answer, share in example.get("target", {}).items() if share]
    return "\n".join(lines)


def _token(token: Mapping[str, Any]) -> str:
    text = str(token["text"]).replace("\n", "⏎")
    mark = "\n" if token["text"].endswith("\n") else ""
    return click.style(f"[{text}]", fg="green") + mark if token["learnt"] else click.style(f"{text}|", dim=True) + mark
