"""Which of several models people prefer: win rates that may be looked at after every vote, strengths, biases, slices.

For each two models a prompt comes to one number in [0, 1], the mean of its people's votes; a confidence sequence over these
(over their means by group, where prompts share one) holds at every look at once, so that asking may end as soon as it decides.
With several pairs of models the sequences share the chance of an error. Strengths and order bias come
from one Bradley–Terry model of all votes (`preceptor.aggregation.pairwise`), clustered by person and by prompt: people's tastes differ,
and nobody counts for less for having one. How often each person votes with the others is told beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preceptor.aggregation import pairwise
from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.evaluation.side_judge import judged
from preceptor.evaluation.side_length import length_bias
from preceptor.evaluation.side_pairs import Pair, matches, sampled
from preceptor.evaluation.side_votes import Match, Vote, by_group, match_of
from preceptor.evaluation.slices import slice_names, slices
from preceptor.statistics import confidence_sequence, mean

CONFIDENCE = 0.95
REASONS = 5  # shown of each model's wins
EXAMPLES = 3  # prompts shown for each of two models
KEPT = 700  # characters of a text's beginning, and of its end
Verdicts = Mapping[str, tuple[float, float]]


def comparison_of(
    pairs: Sequence[Pair],
    votes: Sequence[Vote],
    *,
    people: int,
    models: Sequence[str] = (),
    prompts: int | None = None,
    seed: int = 0,
    verdicts: Verdicts | None = None,
) -> dict[str, Any]:
    """The comparison so far, as a document of Estimates.

    pairs: all that there are, of which people are asked about those of `prompts` prompts (see `sampled`). people: votes a pair.
    models: in the order of the document. verdicts: a judge's, see `side_judge`.
    """
    if people < 1:
        raise UserError(f"{people} people can't compare anything", "--people 3", where="people")
    asked = sampled(pairs, prompts, seed=seed)
    met = matches(models or _models(pairs))
    found = [_match(match_of(*two, asked, votes, people), asked, pairs, len(met), verdicts) for two in met]
    return {
        "models": list(models or _models(pairs)),
        "prompts": len({pair.prompt for pair in pairs}),
        "asked": len({pair.prompt for pair in asked}),
        "people": people,
        "votes": len(votes),
        "matches": found,
        **(_strengths(votes, pairs) if votes else {}),
        "words": [sentence for each in found for sentence in each["words"]],
    }


def decided(pairs: Sequence[Pair], votes: Sequence[Vote], *, people: int) -> dict[frozenset[str], str]:
    """Which is better of each two models of which that is decided. pairs: those that people are asked about."""
    met = matches(_models(pairs))
    found = {}
    for two in met:
        match = match_of(*two, pairs, votes, people)
        if (better := _better(match, _win_rate(match, pairs, len(met)))) is not None:
            found[frozenset(two)] = better
    return found


def _models(pairs: Sequence[Pair]) -> list[str]:
    return sorted({model for pair in pairs for model in pair.models})


def _win_rate(match: Match, asked: Sequence[Pair], count: int) -> Estimate | None:
    """The first model's, valid at any look, of one match among `count`; None before any prompt (or group of them) is finished."""
    _, means = by_group(match, asked)
    return confidence_sequence(means, confidence=1 - (1 - CONFIDENCE) / count) if len(means) else None


def _better(match: Match, rate: Estimate | None) -> str | None:
    if rate is None or rate.low <= 0.5 <= rate.high:
        return None
    return match.first if rate.low > 0.5 else match.second


def _match(match: Match, asked: Sequence[Pair], pairs: Sequence[Pair], count: int, verdicts: Verdicts | None) -> dict[str, Any]:
    """One match of the document."""
    rate = _win_rate(match, asked, count)
    found: dict[str, Any] = {
        "first": match.first, "second": match.second, "finished": len(match.pairs), "waiting": match.waiting, "same": match.same,
        "won": int((match.values > 0.5).sum()), "tied": int((match.values == 0.5).sum()), "lost": int((match.values < 0.5).sum()),
        "win_rate": rate, "better": _better(match, rate),
    }  # fmt: skip
    if len(match.pairs):
        found["length"] = length_bias(match)
        names = slice_names([pair.metadata for pair in match.pairs], ["\n".join(pair.responses) for pair in match.pairs])
        found["slices"] = slices(match.values, match.groups, names, figure="win_rate")
        found["examples"] = _examples(match)
    if verdicts is not None:
        found["judge"] = judged(match, asked, pairs, verdicts, 1 - (1 - CONFIDENCE) / count)
    return found | {"words": _words(found)}


def _examples(match: Match) -> list[dict[str, Any]]:
    """Prompts on which people were of one mind, some for each model; value: their preference for the first."""
    order = np.argsort(match.values, kind="stable").tolist()
    ends = [at for at in dict.fromkeys([*order[::-1][:EXAMPLES], *order[:EXAMPLES]]) if match.values[at] != 0.5]
    return [
        {
            "prompt": _cut(match.pairs[at].text),
            "answers": {model: _cut(match.pairs[at].responses[match.pairs[at].side(model)]) for model in (match.first, match.second)},
            "value": float(match.values[at]),
        }
        for at in ends
    ]


def _cut(text: str) -> str:
    """A long text's beginning and end."""
    return text if len(text) <= 2 * KEPT else f"{text[:KEPT]} […] {text[-KEPT:]}"


def _strengths(votes: Sequence[Vote], pairs: Sequence[Pair]) -> dict[str, Any]:
    """The Bradley–Terry model of all votes."""
    group = {pair.id: pair.group for pair in pairs}
    fitted = pairwise(
        left=[vote.left for vote in votes],
        right=[vote.right for vote in votes],
        winner=["tie" if vote.winner is None else "left" if vote.winner == vote.left else "right" for vote in votes],
        annotator=[vote.annotator for vote in votes],
        prompt=[group[vote.pair] for vote in votes],
    )
    counts, agreed = Counter(vote.annotator for vote in votes), _with_others(votes, group)
    return {
        "strengths": dict(fitted.strengths),
        "ranking": list(fitted.ranking),
        "order_bias": fitted.order_bias,
        "tie_rate": fitted.tie_rate,
        "annotators": [{"annotator": who, "votes": counts[who], "with_others": agreed.get(who)} for who in sorted(counts)],
        "reasons": _reasons(votes),
        "notes": list(fitted.notes),
    }


def _with_others(votes: Sequence[Vote], group: Mapping[str, str]) -> dict[str, Estimate]:
    """How often each person's vote is that of most others on the same pair, ties half; pairs on which these are even don't count."""
    side = {id(vote): 0 if vote.winner is None else 1 if vote.winner == min(vote.left, vote.right) else -1 for vote in votes}
    total: Counter[str] = Counter()
    for vote in votes:
        total[vote.pair] += side[id(vote)]
    seen: dict[str, list[tuple[float, str]]] = {}
    for vote in votes:
        if others := total[vote.pair] - side[id(vote)]:
            same = 0.5 + 0.5 * side[id(vote)] * (1 if others > 0 else -1)
            seen.setdefault(vote.annotator, []).append((same, group[vote.pair]))
    return {who: mean([same for same, _ in each], clusters=[name for _, name in each]) for who, each in seen.items()}


def _reasons(votes: Sequence[Vote]) -> list[dict[str, Any]]:
    """What people wrote, the newest of each winner first."""
    seen: Counter[str] = Counter()
    found = []
    for vote in reversed(votes):
        name = vote.winner or "tie"
        if vote.reasons and seen[name] < REASONS:
            seen[name] += 1
            found.append({"pair": vote.pair, "winner": vote.winner, "reasons": vote.reasons})
    return found


def _words(match: Mapping[str, Any]) -> list[str]:
    """The match in sentences."""
    first, second, rate = match["first"], match["second"], match["win_rate"]
    said = [f"{first} and {second}: no prompt has all its votes yet." if rate is None else _verdict(match, rate)]
    if match["same"]:
        said.append(f"On {match['same']} prompts both gave the same answer; nobody is asked about these, and they aren't counted.")
    longer = match.get("length", {}).get("longer_wins")
    if longer is not None and (longer.low > 0.5 or longer.high < 0.5):
        said.append(f"The {'longer' if longer.low > 0.5 else 'shorter'} answer wins more often: the longer one {_percent(longer)}.")
    if "judge" in match:
        said += _of_judge(match["judge"])
    return said


def _verdict(match: Mapping[str, Any], rate: Estimate) -> str:
    first, second = match["first"], match["second"]
    told = f"people prefer {first} to {second} on {_percent(rate)} of {match['finished']} prompts, ties being half"
    if match["better"] is None:
        return f"Not decided yet between {first} and {second}: {told}."
    return f"{match['better']} is better: {told}."


def _of_judge(judge: Mapping[str, Any]) -> list[str]:
    if "agreement" not in judge:
        return ["The judge's votes don't count yet: people have finished too few prompts to say how far it agrees with them."]
    said = [f"The judge agrees with people on {_percent(judge['agreement']['balanced'])} (balanced over whom people prefer)."]
    place = judge.get("first_place")
    if place is not None and np.isfinite(place.low) and not place.low <= 0.5 <= place.high:
        said.append(f"It favours the {'first' if place.value > 0.5 else 'second'} place; both orders were asked and averaged.")
    if "with_judge" in judge:
        alone, both = _percent(judge["people"]), _percent(judge["with_judge"])
        said.append(f"Looked at once, people's votes alone say {alone}, and with the judge's on all prompts {both}. People alone decide.")
    return said


def _percent(estimate: Estimate) -> str:
    low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
    return f"{100 * estimate.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
