"""What the rounds came to, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from preceptor.domain.results import Estimate


def words(texts: int, rounds: Sequence[Mapping[str, Any]], kept: int | None, earlier: Mapping[str, Any] | None = None) -> list[str]:
    """One or two sentences a round, and where the weights are from. kept: the round that they are from, or None. earlier: how the
    teacher that was named stands beside people's labels alone, if one was."""
    found = [f"{texts:,} texts without a judgment were read."]
    if earlier:
        loss = Estimate.of(earlier["loss"])
        found.append(
            f"Beside people's labels alone, the validation loss of the teacher that was named is {loss.value:+.3f} [{loss.low:+.3f}, "
            f"{loss.high:+.3f}] nats" + (": it taught nothing, and no round was held." if earlier["hurts"] else ".")
        )
    for each in rounds:
        found += _round(each)
    held = sum("validation_change" in each and not each["hurts"] for each in rounds)
    if kept is None:
        return [*found, "No round helped: the weights are those of people's labels alone."]
    best = f", the best of {held} on the validation rows, which flatters what is told of it above" if held > 1 else ""
    return [*found, f"The weights are those of round {kept}{best}."]


def _round(told: Mapping[str, Any]) -> list[str]:
    number, count = told["round"], sum(told["pseudo_labels"].values())
    if not count:
        others = " that people hadn't answered" if told.get("answered") else ""
        return [f"Round {number}: the teacher, calibrated on validation, was sure of no text{others}."]
    split = ", ".join(f"{of:,} {answer}" for answer, of in told["pseudo_labels"].items())
    found = [f"Round {number} took {count:,} pseudo-labels of confidence {told['confidence']:.2f} or more ({split})."]
    if told.get("right"):
        right = Estimate.of(told["right"])
        found.append(f"By people's answers {right.value:.0%} [{right.low:.0%}, {right.high:.0%}] of them are right.")
    loss, accuracy = (Estimate.of(told["validation_change"][name]) for name in ("loss", "accuracy"))
    found.append(
        f"Against people's labels alone it changed the validation loss by {loss.value:+.3f} [{loss.low:+.3f}, {loss.high:+.3f}] and "
        f"accuracy by {accuracy.in_points()}" + (": it isn't kept, and nothing more was tried." if told["hurts"] else ".")
    )
    return found
