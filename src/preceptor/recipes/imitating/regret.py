"""What each round of corrections brought: held-out loss and answers, and how much of what the model said experts left standing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate
from preceptor.models.chat import ChatModel
from preceptor.recipes.examples import top_answer
from preceptor.recipes.imitating.corrections import Correction
from preceptor.recipes.imitating.drafts import by_hash, drafts
from preceptor.recipes.objective import Validated
from preceptor.recipes.recipe import Row
from preceptor.statistics import mean

EXAMINED = 200  # validation prompts that the model answers, at most


def point(round_: int, spent: int, seen: Validated, groups: Sequence[str], exact: Estimate) -> dict[str, Any]:
    """One point of the curve, a JSON value. spent: corrections that experts gave so far. validation_loss: in nats a token. exact: share
    of held-out prompts that the model answers word for word as people do. Both with their intervals by group."""
    loss = mean(seen.shares, clusters=groups, within=(0.0, np.inf))
    return {"round": round_, "corrections": spent, "validation_loss": loss.to_dict(), "exact": exact.to_dict()}


def answered_exactly(chat: ChatModel, rows: Sequence[Row], *, max_tokens: int, seed: int) -> Estimate:
    """Share of the rows, of `EXAMINED` at most, to which the model's answer is people's most probable one, word for word."""
    wanted = {row.id: top_answer(row).strip() for row in rows}
    some = by_hash(rows, seed)[:EXAMINED]
    said = {draft.id: draft.text for draft in drafts(chat, some, max_tokens=max_tokens, samples=0, seed=seed)}
    return mean([float(said.get(prompt.id) == wanted[prompt.id]) for prompt in some], clusters=[prompt.group for prompt in some])


def left_standing(corrections: Sequence[Correction]) -> dict[str, Any]:
    """Of one round: share of the answers that experts left as they were, and of the characters of their own that they didn't have to
    write. These answers were asked about because the model doubted them: of all that it says, more stands."""
    right = mean([float(each.right) for each in corrections])
    kept = float(np.mean([each.stands / max(1, len(each.answer.strip())) for each in corrections]))
    return {"asked": len(corrections), "right": right.to_dict(), "characters_kept": round(kept, 4)}


def words(curve: Sequence[Mapping[str, Any]], change: Estimate, rounds: Sequence[Mapping[str, Any]], wished: int) -> list[str]:
    """The curve in sentences. change: of the validation loss from its first point to its last; wished: rounds that there were to be."""
    if not wished:
        return ["Nobody was asked to correct anything: this is plain behaviour cloning, sft on the answers that people wrote."]
    if not rounds:
        return ["There was no prompt that the model could read and answer: nobody was asked to correct anything."]
    first, last = curve[0], curve[-1]
    told = [
        f"After {last['corrections']:,} corrections in {len(rounds)} rounds the validation loss is {last['validation_loss']['value']:.3f}, "
        f"before them it was {first['validation_loss']['value']:.3f}: {_verdict(change)}. Word for word as people answers "
        f"{Estimate.of(last['exact']).as_share()}, before {Estimate.of(first['exact']).as_share()}."
    ]
    for number, each in enumerate(rounds, start=1):
        told.append(f"In round {number} experts left {Estimate.of(each['right']).as_share()} of {each['asked']:,} answers as they were.")
    if len(rounds) < wished:
        told.append(f"Of {wished} rounds {len(rounds)} were held: then no prompt was left to ask about.")
    return told


def _verdict(change: Estimate) -> str:
    """What the change of a loss, on the same rows, is."""
    if not math.isfinite(change.high):
        return "one group of rows doesn't say whether that is chance"
    judged = "lower" if change.high < 0 else "higher" if change.low > 0 else "a change that may be chance"
    return f"{judged}, row by row, {change.value:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
