"""docs/families.md says what becomes of each family; some are tried each time, all of them in the exhaustive tier."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tiny_families import DECODERS, ENCODERS, decoder_outcome, encoder_outcome

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("generate_families", ROOT / "docs" / "generate_families.py")
families = importlib.util.module_from_spec(spec)
spec.loader.exec_module(families)
LINES = families.PAGE.read_text(encoding="utf-8").splitlines()
# A router that returns a tuple, PEFT's own names for experts, a hybrid, a recurrent one, one that reads ahead.
FEW_DECODERS = {"phimoe", "afmoe", "jamba", "rwkv", "xlnet"}
# Layers under other names, padding that isn't nothing, a pooler that is called, no linear layers, refused.
FEW_ENCODERS = {"distilbert", "fnet", "layoutlm", "squeezebert", "xlnet"}
pytestmark = pytest.mark.filterwarnings("ignore")  # each family has its own to say


def marked(kinds, few):
    return [pytest.param(kind, marks=[] if kind in few else [pytest.mark.slow]) for kind in sorted(kinds)]


@pytest.mark.parametrize("kind", marked(DECODERS, FEW_DECODERS))
def test_a_decoder_does_what_the_table_says(kind, tmp_path):
    assert families.line(decoder_outcome(kind, tmp_path)) in LINES, "run: python docs/generate_families.py"


@pytest.mark.parametrize("kind", marked(ENCODERS, FEW_ENCODERS))
def test_an_encoder_does_what_the_table_says(kind, tmp_path):
    assert families.line(encoder_outcome(kind, tmp_path)) in LINES, "run: python docs/generate_families.py"


def test_the_table_has_every_family_and_nothing_fails():
    named = [line.split("`")[1] for line in LINES if line.startswith("| `")]
    assert named == [*sorted(DECODERS), *sorted(ENCODERS)]
    assert not [line for line in LINES if "FAILS" in line]
