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

Written by `python docs/generate_families.py`; don't edit it. Each row is a tiny model of that family (the `model_type` in its
`config.json`) with random weights, run through the whole loop and compared with itself; the tests do the same.

- **train**: decoders are trained to answer (`sft`), encoders to classify (`classify`), with a LoRA adapter. *refused* means that a
  one-line error is given before training.
- **merge**: with the saved adapter applied to the base again, separately and merged, the outputs are those at the end of training.
- **reload**: so are those of the saved weights after loading them again.
- **parity**: all stages of `preceptor verify` pass, including serving, and a row alone compared with the same row padded in a batch.
- **serve**: answers to several prompts in one batch have the log-probabilities that the model gives each prompt alone, without a cache;
  classifiers give a text the same probabilities alone and in a batch.

What a family can't do is found by a trial on a few tokens, not by its name, so the same is reported for families that aren't listed here.

## What an adapter is attached to

An adapter is attached to the linear layers within a model's blocks, never to its head or embeddings. In a mixture of experts it is
attached to the experts too, whose weights are stacked, with the same `rank` for each expert. During a step, the weights of a layer's
experts are in memory twice. The router, which chooses experts, stays as in the base. `dora` leaves experts out. In a state-space mixer
the adapter is attached to the input projection (`in_proj`) only, since its kernels read the other weights directly. The model's manifest
lists the adapted modules (`adapted`), and its notes name the others.

## How a model is served

Families whose layers are attention only are served in one continuous batch, and share prompt prefixes. State-space models and hybrids
are served as well, but each request is processed by itself, nothing is shared, and they can't be trained by reinforcement learning
(`grpo`, `rloo`), which samples many answers at once. An encoder on which padding has an effect reads only texts of equal length together.
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
