"""The general texts of a run: those that it was given, or those that its base writes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from preceptor.domain.general import General
from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.knowledge import readable_texts
from preceptor.models.self_written import self_written
from preceptor.models.template import Turn
from preceptor.recipes.examples import Examples, masked
from preceptor.recipes.folder import remembered
from preceptor.recipes.recipe import Progress, Run

FEWEST_WORDS = 6  # of a text that has two halves
WRITTEN = 96  # conversations that a base writes where there are no general texts


def halves(texts: Mapping[str, str]) -> dict[str, list[Turn]]:
    """Texts as an asked and an answered half, for encoders, which write none: do the halves still belong together?"""
    parts = {id_: text.split() for id_, text in texts.items()}
    found = {id_: (words[: len(words) // 2], words[len(words) // 2 :]) for id_, words in parts.items() if len(words) >= FEWEST_WORDS}
    return {
        id_: [{"role": "user", "content": " ".join(first)}, {"role": "assistant", "content": " ".join(second)}]
        for id_, (first, second) in found.items()
    }


def of_writer(run: Run) -> General:
    """The run's own; what it lacks of texts, its base writes: a third to measure by, the rest to train on."""
    given = run.general or General()
    if given.texts:
        return given
    written = remembered(run.folder / "self-written.json", partial(_write, run))
    half = {id_: turns for id_, turns in written.items() if _third(id_)}
    replay = given.replay or {id_: turns for id_, turns in written.items() if id_ not in half}
    return General(replay, half, given.suites, "texts that the base wrote itself")


def of_encoder(run: Run) -> General:
    """The run's own, or the halves of its validation texts."""
    given = run.general or General()
    if given.texts:
        return given
    texts = halves({row.id: row.text for row in run.snapshot.rows("validation")})
    if not texts:
        raise UserError(
            f"no validation text has {FEWEST_WORDS} words, to be cut in halves", "name general texts: [general] in preceptor.toml"
        )
    return replace(given, texts=texts, origin="validation texts, cut in halves")


def _write(run: Run) -> dict[str, list[Turn]]:
    def tell(done: int) -> None:
        run.progress(Progress("the base writes general texts", done, WRITTEN))

    written = self_written(ChatModel(run.base), WRITTEN, seed=run.seed, progress=tell)
    if len(written) < 3:
        raise UserError(f"{run.base.name} writes no texts of its own to measure by", "name general texts: [general] in preceptor.toml")
    return {f"self-{number}": turns for number, turns in enumerate(written)}


def _third(id_: str) -> bool:
    return hashlib.sha256(id_.encode()).digest()[0] % 3 == 0


def as_examples(texts: Mapping[str, Sequence[Turn]], tokenizer: Any, *, max_tokens: int) -> Examples:
    """General texts as rows to train on, in the order of `readable_texts`."""
    found = readable_texts(tokenizer, texts, most=None, max_tokens=max_tokens)
    return masked(found, found, found.values(), [1.0] * len(found))
