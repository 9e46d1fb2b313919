"""Estimate which of several models people prefer: win rates, strengths, length bias, slices and what a judge adds.

For every two models a prompt is reduced to one number in [0, 1], the mean of its people's votes; a confidence sequence over these (over
their means by group, where prompts share one) is valid at every look at once, so that annotation may stop as soon as it decides. With
several pairs of models the sequences share the probability of an error. Strengths and order bias come from one Bradley–Terry model of all
votes (`preceptor.consensus.pairwise`), clustered by person and by prompt: people's tastes differ, and nobody counts for less for having
one. How often each person votes with the others is reported too.

Length bias: how often the longer answer wins, and the win rate where both are of the same length. A judge model's votes: first its
agreement with people, then what they add to people's votes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from preceptor.consensus import fit_pairwise
from preceptor.errors import UserError
from preceptor.evaluation.answer_pairs import (
    ComparisonPair,
    ModelMatch,
    PreferenceVote,
    build_match,
    group_means,
    model_matches,
    sample_prompts,
)
from preceptor.evaluation.judges import OrderedVerdicts, impute_missing, label_efficiency, measure_agreement
from preceptor.evaluation.judges.validation import MIN_JUDGE_LABELS
from preceptor.evaluation.slices import compare_slices, slice_properties
from preceptor.statistics import confidence_sequence, estimate_mean, ppi_mean, ppi_sequence
from preceptor.statistics.inputs import as_clusters
from preceptor.statistics.intervals import t_quantile
from preceptor.types import Estimate, FloatArray

_MIN_LENGTH_PROMPTS = 20  # the fewest groups of prompts for a curve
_LENGTH_RIDGE = 0.05  # keeps the curve finite where every longer answer wins
_NEWTON_STEPS = 50


def length_bias(match: ModelMatch) -> dict[str, Any]:
    """Estimate the length bias in two models' finished prompts; lengths are in words.

    longer_wins: how often the longer answer is preferred, a tie being half, where lengths differ. words: mean words of each model's
    answers. at_equal_length: the win rate of the first model at no difference in length.
    """
    lengths = np.array([[len(pair.responses[pair.side(model)].split()) for model in (match.first, match.second)] for pair in match.pairs])
    if not len(lengths):
        return {}
    gap = (lengths[:, 0] - lengths[:, 1]).astype(np.float64)
    found: dict[str, Any] = {"words": {match.first: float(lengths[:, 0].mean()), match.second: float(lengths[:, 1].mean())}}
    groups = np.array(match.groups)
    differ = gap != 0
    if differ.any():
        longer = np.where(gap > 0, match.values, 1 - match.values)
        found["longer_wins"] = estimate_mean(longer[differ], clusters=groups[differ])
    if (curve := length_controlled_win_rate(match.values, gap, groups)) is not None:
        found["at_equal_length"] = curve
    return found


def length_controlled_win_rate(values: FloatArray, gap: FloatArray, groups: Any, confidence: float = 0.95) -> Estimate | None:
    """Estimate the win rate at gap 0, from logit E(value) = α + β·tanh(gap/sd) (after Dubois et al. 2024), with a cluster sandwich.

    values in [0, 1], gap: first minus second. None with fewer than 20 groups, or where values or gaps have no spread.
    """
    codes = as_clusters(groups, len(values))
    clusters = int(codes.max()) + 1
    if clusters < _MIN_LENGTH_PROMPTS or not np.ptp(values) or not np.ptp(gap):
        return None
    design = np.stack([np.ones(len(gap)), np.tanh(gap / gap.std())], axis=1)
    line = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        share = expit(design @ line)
        slope = design.T @ (values - share) - _LENGTH_RIDGE * line
        information = (design * (share * (1 - share))[:, None]).T @ design + _LENGTH_RIDGE * np.eye(2)
        step = np.linalg.solve(information, slope)
        line = line + step
        if np.abs(step).max() < 1e-10:
            break
    inverse = np.linalg.inv(information)
    scores = np.stack([np.bincount(codes, weights=column) for column in (design * (values - share)[:, None]).T], axis=1)
    spread = inverse @ (scores.T @ scores) @ inverse * clusters / (clusters - 2)
    half = t_quantile(clusters - 2, confidence) * float(np.sqrt(spread[0, 0]))
    value, low, high = expit(np.array([line[0], line[0] - half, line[0] + half])).tolist()
    return Estimate(value, low, high, clusters, "logistic in the length difference, cluster sandwich, t", confidence)


def compare_with_judge(
    match: ModelMatch,
    asked: Sequence[ComparisonPair],
    pairs: Sequence[ComparisonPair],
    verdicts: Mapping[str, tuple[float, float]],
    confidence: float,
) -> dict[str, Any]:
    """Estimate a judge's agreement with people on two models, and what its votes add to people's.

    pairs: all of the comparison, of which `asked` are queued for annotation. verdicts: by pair, the judge's probability that the first of
    the item's responses is better, with the responses in the item's order and swapped.

    people, with_judge: the win rate from people's votes alone, and with the judge's on all prompts, each valid for one look after a planned
    number of votes. at_any_look: with the judge's, as a confidence sequence over groups.
    """
    own = [pair for pair in pairs if set(pair.models) == {match.first, match.second} and not pair.is_same]
    table = np.array([verdicts[pair.id] for pair in own], dtype=np.float64).reshape(-1, 2)
    orders, groups = OrderedVerdicts(table[:, 0], table[:, 1]), [pair.group for pair in own]
    found: dict[str, Any] = {"pairs": len(own), "missing": orders.missing}
    if orders.missing < len(own):
        found |= {"flip_rate": orders.flip_rate(groups), "first_place": orders.first_place(groups)}
    turned = np.array([pair.side(match.first) for pair in own]) == 1
    scores = np.where(turned, 1 - orders.scores(), orders.scores())
    of_pair = dict(zip((pair.id for pair in own), scores.tolist(), strict=True))
    if len(match.values) < MIN_JUDGE_LABELS:
        return found
    agrees = measure_agreement(match.values, [of_pair[pair.id] for pair in match.pairs], clusters=match.groups)
    of_pair = dict(zip(of_pair, impute_missing(np.array(list(of_pair.values()))).tolist(), strict=True))
    return (
        found
        | {"agreement": agrees.figures()}
        | _fixed_sample_rates(match, own, of_pair)
        | _anytime_rates(match, asked, own, of_pair, confidence)
    )


def _fixed_sample_rates(match: ModelMatch, own: Sequence[ComparisonPair], score: Mapping[str, float]) -> dict[str, Estimate | float]:
    """Estimate the win rate over prompts, and the label efficiency of the judge; nothing from a judge with constant scores."""
    finished = {pair.id for pair in match.pairs}
    rest = [pair for pair in own if pair.id not in finished]
    beside = [score[pair.id] for pair in match.pairs]
    others = [score[pair.id] for pair in rest]
    found: dict[str, Estimate | float] = {"people": estimate_mean(match.values, clusters=match.groups)}
    if not np.ptp([*beside, *others]):
        return found
    there = [pair.group for pair in rest]
    found["with_judge"] = ppi_mean(match.values, beside, others, clusters_on_human=match.groups, clusters_on_rest=there)
    if np.ptp(match.values) and np.ptp(beside):
        found["labels_saved"] = label_efficiency(float(np.corrcoef(match.values, beside)[0, 1]), len(beside), len(others))
    return found


def _anytime_rates(
    match: ModelMatch, asked: Sequence[ComparisonPair], own: Sequence[ComparisonPair], score: Mapping[str, float], confidence: float
) -> dict[str, Estimate]:
    """Estimate the win rate over groups, each new one a step of a sequence; nothing from a judge with constant scores."""
    names, human = group_means(match, asked)
    by_name = defaultdict[str, list[float]](list)
    for pair in own:
        by_name[pair.group].append(score[pair.id])
    begun = {pair.group for pair in match.pairs}
    beside = [float(np.mean(by_name[name])) for name in names]
    rest = [float(np.mean(values)) for name, values in by_name.items() if name not in begun]
    return {"at_any_look": ppi_sequence(human, beside, rest, confidence)} if len(human) and np.ptp([*beside, *rest]) else {}


COMPARISON_CONFIDENCE = 0.95
_MAX_REASONS = 5  # reasons shown for each winner
_MAX_EXAMPLES = 3  # prompts shown for each of two models
_EXCERPT_CHARS = 700  # characters of a text's beginning, and of its end
JudgeVerdicts = Mapping[str, tuple[float, float]]


def compare_models(
    pairs: Sequence[ComparisonPair],
    votes: Sequence[PreferenceVote],
    *,
    people: int,
    models: Sequence[str] = (),
    prompts: int | None = None,
    seed: int = 0,
    verdicts: JudgeVerdicts | None = None,
) -> dict[str, Any]:
    """Build the document of a comparison so far, of Estimates.

    pairs: all of them, of which people are asked about those of `prompts` prompts (see `sample_prompts`). people: votes a pair. models: in
    the order of the document. verdicts: a judge's, see `compare_with_judge`. Raises UserError for fewer than one person.
    """
    if people < 1:
        raise UserError(f"{people} people can't compare anything", "--people 3", where="people")
    asked = sample_prompts(pairs, prompts, seed=seed)
    met = model_matches(models or _model_names(pairs))
    found = [_match_document(build_match(*two, asked, votes, people), asked, pairs, len(met), verdicts) for two in met]
    return {
        "models": list(models or _model_names(pairs)),
        "prompts": len({pair.prompt for pair in pairs}),
        "asked": len({pair.prompt for pair in asked}),
        "people": people,
        "votes": len(votes),
        "matches": found,
        **(_fit_strengths(votes, pairs) if votes else {}),
        "summary": [sentence for each in found for sentence in each["summary"]],
    }


def decide_matches(pairs: Sequence[ComparisonPair], votes: Sequence[PreferenceVote], *, people: int) -> dict[frozenset[str], str]:
    """Return the better of every two models for which that is decided.

    pairs: those that people are asked about.
    """
    met = model_matches(_model_names(pairs))
    found = {}
    for two in met:
        match = build_match(*two, pairs, votes, people)
        if (better := _better_model(match, _win_rate(match, pairs, len(met)))) is not None:
            found[frozenset(two)] = better
    return found


def _model_names(pairs: Sequence[ComparisonPair]) -> list[str]:
    return sorted({model for pair in pairs for model in pair.models})


def _win_rate(match: ModelMatch, asked: Sequence[ComparisonPair], count: int) -> Estimate | None:
    """Estimate the first model's win rate, valid at any look, of one match among `count`; None before any prompt (or group) is finished."""
    _, means = group_means(match, asked)
    return confidence_sequence(means, confidence=1 - (1 - COMPARISON_CONFIDENCE) / count) if len(means) else None


def _better_model(match: ModelMatch, rate: Estimate | None) -> str | None:
    if rate is None or rate.low <= 0.5 <= rate.high:
        return None
    return match.first if rate.low > 0.5 else match.second


def _match_document(
    match: ModelMatch, asked: Sequence[ComparisonPair], pairs: Sequence[ComparisonPair], count: int, verdicts: JudgeVerdicts | None
) -> dict[str, Any]:
    """Build the document of one match."""
    rate = _win_rate(match, asked, count)
    found: dict[str, Any] = {
        "first": match.first, "second": match.second, "finished": len(match.pairs), "waiting": match.waiting, "same": match.same,
        "won": int((match.values > 0.5).sum()), "tied": int((match.values == 0.5).sum()), "lost": int((match.values < 0.5).sum()),
        "win_rate": rate, "better": _better_model(match, rate),
    }  # fmt: skip
    if len(match.pairs):
        found["length"] = length_bias(match)
        names = slice_properties([pair.metadata for pair in match.pairs], ["\n".join(pair.responses) for pair in match.pairs])
        found["slices"] = compare_slices(match.values, match.groups, names, figure="win_rate")
        found["examples"] = _match_examples(match)
    if verdicts is not None:
        found["judge"] = compare_with_judge(match, asked, pairs, verdicts, 1 - (1 - COMPARISON_CONFIDENCE) / count)
    return found | {"summary": _match_sentences(found)}


def _match_examples(match: ModelMatch) -> list[dict[str, Any]]:
    """Return prompts on which people agreed, some for each model; value: their preference for the first."""
    order = np.argsort(match.values, kind="stable").tolist()
    ends = [at for at in dict.fromkeys([*order[::-1][:_MAX_EXAMPLES], *order[:_MAX_EXAMPLES]]) if match.values[at] != 0.5]
    return [
        {
            "prompt": _excerpt_text(match.pairs[at].text),
            "answers": {
                model: _excerpt_text(match.pairs[at].responses[match.pairs[at].side(model)]) for model in (match.first, match.second)
            },
            "value": float(match.values[at]),
        }
        for at in ends
    ]


def _excerpt_text(text: str) -> str:
    """Return a long text's beginning and end."""
    return text if len(text) <= 2 * _EXCERPT_CHARS else f"{text[:_EXCERPT_CHARS]} […] {text[-_EXCERPT_CHARS:]}"


def _fit_strengths(votes: Sequence[PreferenceVote], pairs: Sequence[ComparisonPair]) -> dict[str, Any]:
    """Fit the Bradley–Terry model of all votes."""
    group = {pair.id: pair.group for pair in pairs}
    fitted = fit_pairwise(
        left=[vote.left for vote in votes],
        right=[vote.right for vote in votes],
        winner=["tie" if vote.winner is None else "left" if vote.winner == vote.left else "right" for vote in votes],
        annotator=[vote.annotator for vote in votes],
        prompt=[group[vote.pair] for vote in votes],
    )
    counts, agreed = Counter(vote.annotator for vote in votes), _agreement_with_others(votes, group)
    return {
        "strengths": dict(fitted.strengths),
        "ranking": list(fitted.ranking),
        "order_bias": fitted.order_bias,
        "tie_rate": fitted.tie_rate,
        "annotators": [{"annotator": who, "votes": counts[who], "with_others": agreed.get(who)} for who in sorted(counts)],
        "reasons": _collect_reasons(votes),
        "notes": list(fitted.notes),
    }


def _agreement_with_others(votes: Sequence[PreferenceVote], group: Mapping[str, str]) -> dict[str, Estimate]:
    """Estimate how often each person votes with the majority of the others on a pair, ties half.

    Pairs on which the others are split don't count.
    """
    side = {id(vote): 0 if vote.winner is None else 1 if vote.winner == min(vote.left, vote.right) else -1 for vote in votes}
    total: Counter[str] = Counter()
    for vote in votes:
        total[vote.pair] += side[id(vote)]
    seen: dict[str, list[tuple[float, str]]] = {}
    for vote in votes:
        if others := total[vote.pair] - side[id(vote)]:
            same = 0.5 + 0.5 * side[id(vote)] * (1 if others > 0 else -1)
            seen.setdefault(vote.annotator, []).append((same, group[vote.pair]))
    return {who: estimate_mean([same for same, _ in each], clusters=[name for _, name in each]) for who, each in seen.items()}


def _collect_reasons(votes: Sequence[PreferenceVote]) -> list[dict[str, Any]]:
    """Return the reasons that people wrote, the newest of each winner first."""
    seen: Counter[str] = Counter()
    found = []
    for vote in reversed(votes):
        name = vote.winner or "tie"
        if vote.reasons and seen[name] < _MAX_REASONS:
            seen[name] += 1
            found.append({"pair": vote.pair, "winner": vote.winner, "reasons": vote.reasons})
    return found


def _match_sentences(match: Mapping[str, Any]) -> list[str]:
    """Summarize the match in sentences."""
    first, second, rate = match["first"], match["second"], match["win_rate"]
    said = [f"{first} and {second}: no prompt has all its votes yet." if rate is None else _match_verdict(match, rate)]
    if match["same"]:
        said.append(f"On {match['same']} prompts both gave the same answer; nobody is asked about these, and they aren't counted.")
    longer = match.get("length", {}).get("longer_wins")
    if longer is not None and (longer.low > 0.5 or longer.high < 0.5):
        said.append(
            f"The {'longer' if longer.low > 0.5 else 'shorter'} answer wins more often: the longer one {_percent_interval(longer)}."
        )
    if "judge" in match:
        said += _judge_sentences(match["judge"])
    return said


def _match_verdict(match: Mapping[str, Any], rate: Estimate) -> str:
    first, second = match["first"], match["second"]
    told = f"people prefer {first} to {second} on {_percent_interval(rate)} of {match['finished']} prompts, ties being half"
    if match["better"] is None:
        return f"Not decided yet between {first} and {second}: {told}."
    return f"{match['better']} is better: {told}."


def _judge_sentences(judge: Mapping[str, Any]) -> list[str]:
    if "agreement" not in judge:
        return ["The judge's votes don't count yet: people have finished too few prompts to say how far it agrees with them."]
    said = [f"The judge agrees with people on {_percent_interval(judge['agreement']['balanced'])} (balanced over whom people prefer)."]
    place = judge.get("first_place")
    if place is not None and np.isfinite(place.low) and not place.low <= 0.5 <= place.high:
        said.append(f"It favours the {'first' if place.value > 0.5 else 'second'} place; both orders were asked and averaged.")
    if "with_judge" in judge:
        alone, both = _percent_interval(judge["people"]), _percent_interval(judge["with_judge"])
        said.append(f"Looked at once, people's votes alone say {alone}, and with the judge's on all prompts {both}. People alone decide.")
    return said


def _percent_interval(estimate: Estimate) -> str:
    low, high = max(estimate.low, 0.0), min(estimate.high, 1.0)
    return f"{100 * estimate.value:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
