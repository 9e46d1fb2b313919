"""Writes docs/families.md: each family of transformers through train, merge, reload, parity and serve, on tiny random models of it.

Takes minutes. Run: python docs/generate_families.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "families.md"
sys.path.insert(0, str(ROOT / "tests"))

from tiny_families import DECODERS, ENCODERS, STEPS, Outcome, decoder_outcome, encoder_outcome  # noqa: E402

OPENING = """# Families of models

Written by `python docs/generate_families.py`; don't edit it. Each line is a tiny model of that family (the `model_type` in its
`config.json`) with random weights, taken through the loop and compared with itself; the tests do the same.

- **train**: decoders learn answers (`sft`), encoders to classify (`classify`), with a LoRA adapter. *refused* is one line before
  training.
- **merge**: the adapter, put on the base anew, says what the model said when training ended, beside the weights and added into them.
- **reload**: so do the saved weights.
- **parity**: so do all stages of `preceptor parity`: served too, and a row by itself that was padded beside others.
- **serve**: answers to several prompts at once have the log-probabilities that the model gives each prompt alone, without a cache;
  classifiers give a text the same chances alone and among others.

What a family can't do is found by a trial on a few tokens, and not by its name, so that families that aren't listed here are told the
same way.

## What an adapter learns in

The linear layers within a model's layers; never its head or embeddings. In a mixture of experts it learns in the experts, too, whose
weights are stacked, by the same `rank` for each expert. While a step is
taken, the weights of a layer's experts lie in memory a second time. The router, which chooses experts, stays as the base has it. `dora`
leaves experts out. In a state-space mixer the adapter learns in what leads into it (`in_proj`) alone, since its kernels read the other
weights directly. The model's manifest lists what was adapted (`adapted`), and its notes name what wasn't.

## How a model is served

Families whose layers are attention alone are drawn in one running batch, and share the beginnings of prompts. State-space models and
hybrids are served as well, but each answer is read and drawn by itself, nothing is shared, and they can't be trained by reinforcement
(`grpo`, `rloo`), which draws many answers at once. An encoder for which padding isn't nothing reads texts of one length together and no
others.
"""


def table(title: str, found: list[Outcome]) -> str:
    """A section: a line a family."""
    lines = [f"## {title}", "", f"| family | {' | '.join(STEPS)} | |", f"|---|{'---|' * len(STEPS)}---|", *map(line, found)]
    return "\n".join(lines) + "\n"


def line(outcome: Outcome) -> str:
    """A family's line of the table."""
    return f"| `{outcome.kind}` | {' | '.join(outcome.steps[step] for step in STEPS)} | {' '.join(outcome.notes)} |"


def outcomes(decoders: bool) -> Iterator[Outcome]:
    """What becomes of each family."""
    for kind in sorted(DECODERS if decoders else ENCODERS):
        with tempfile.TemporaryDirectory() as folder:
            yield (decoder_outcome if decoders else encoder_outcome)(kind, Path(folder))


def page() -> str:
    """The whole page."""
    measured = f"With transformers {version('transformers')} and PEFT {version('peft')}.\n"
    return "\n".join([OPENING, measured, table("Decoders", list(outcomes(True))), table("Encoders", list(outcomes(False)))])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
