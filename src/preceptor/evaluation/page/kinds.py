"""How each figure is explained and written."""

from __future__ import annotations

import math
from dataclasses import dataclass

from preceptor.domain import Estimate
from preceptor.evaluation.wording import Show, decimal, percent


@dataclass(frozen=True, slots=True)
class Kind:
    """How one quality figure is explained and written."""

    meaning: str
    show: Show = percent
    limits: tuple[float, float] = (0.0, 1.0)


KINDS = {
    "accuracy": Kind("The share of items that the model answers as the people did. Higher is better."),
    "macro_f1": Kind("Like accuracy, but every answer counts the same however rare it is. Higher is better."),
    "log_loss": Kind("How surprised the model is by the people's answers, in nats. Lower is better.", decimal, (0.0, math.inf)),
    "ece": Kind("How far the certainty it states is from how often it is right. Lower is better."),
    "brier": Kind("The squared distance between its probabilities and the answers. Lower is better.", decimal, (0.0, 2.0)),
    "ranked_probability": Kind(
        "The squared distance of its probabilities from the answers, which grows with the steps between them. Lower is better.", decimal
    ),
    "steps_off": Kind("How many steps its answer is from the people's, on average. Lower is better.", decimal, (0.0, math.inf)),
    "likelier": Kind("The share of pairs whose preferred answer is the more probable one, token for token. Higher is better."),
    "calibration_error": Kind("How far its certainty of a preference is from how often people share it. Lower is better."),
    "longer_wins": Kind("The share of pairs in which people prefer the longer answer: going by length alone is right so often."),
    "accuracy_longer_won": Kind("Its accuracy where people prefer the longer answer. Higher is better."),
    "accuracy_shorter_won": Kind("Its accuracy where people prefer the shorter answer: low where it goes by length. Higher is better."),
    "length_correlation": Kind("How far its preference follows the difference in length, from -1 to 1.", decimal, (-1.0, 1.0)),
    "separation": Kind("How often a response called good gained more than one called bad; 50 % is chance. Higher is better."),
    "change_good": Kind("Nats that responses which people call good gained since the base.", decimal, (-math.inf, math.inf)),
    "change_bad": Kind("Nats that responses which people call bad gained since the base.", decimal, (-math.inf, math.inf)),
    "exact_match": Kind("The share of answers that are the reference text itself, space aside. Higher is better."),
    "token_f1": Kind("How far the words of answer and reference are the same, their order aside. Higher is better."),
    "format": Kind("The share of answers in the form that the references have. Higher is better."),
    "refusals": Kind("The share of answers that refuse what the reference answers. Lower is better."),
    "latency": Kind("Seconds until an answer is there, asked for one at a time. Lower is better.", decimal, (0.0, math.inf)),
    "log_probability": Kind(
        "How probable a token of the reference is to the model, in nats. Nearer to zero is better.", decimal, (-math.inf, 0.0)
    ),
    "error": Kind("The share of answers that are wrong, were all given. Lower is better."),
    "rouge_1": Kind("Words that answer and reference share (ROUGE-1). Higher is better."),
    "rouge_2": Kind("Pairs of words that answer and reference share (ROUGE-2). Higher is better."),
    "rouge_l": Kind("The longest run of words in the same order (ROUGE-L). Higher is better."),
    "bleu": Kind("Overlap with the reference translation, 0 to 100. Higher is better.", decimal, (0.0, 100.0)),
    "chrf": Kind("Overlap with the reference, letter by letter, 0 to 100. Higher is better.", decimal, (0.0, 100.0)),
    "hallucination": Kind("The share of claims that the sources contradict or don't hold. Lower is better."),
    "hallucination_responses": Kind("The share of responses with at least one such claim, refusals counted as without. Lower is better."),
    "claims_per_response": Kind("How many claims a response makes. A model that says less errs less often.", decimal, (0.0, math.inf)),
    "claimless": Kind("The share of responses without any claim, such as refusals."),
    "violations": Kind("The share of answers that break at least one rule. Lower is better."),
    "missed_refusals": Kind("Of what it must refuse, the share that it answered. Lower is better."),
    "needless_refusals": Kind("Of what it needn't refuse, the share that it refused. Lower is better."),
    "selective_risk": Kind("The share of wrong answers among those that it is surest of. Lower is better."),
    "aurc": Kind("Wrong answers among the surest part, averaged over how large that part is. Lower is better."),
    "says_unknown": Kind("Of what nobody can answer, the share where it says so. Higher is better."),
    "citation_recall": Kind("Of the sentences that state something, the share that a source which they cite bears out. Higher is better."),
    "citation_precision": Kind("Of all citations, the share whose source bears its sentence out. Higher is better."),
    "golden_cited": Kind("The share of answers that cite a source which is known to bear the answer out. Higher is better."),
    "golden_found": Kind("The share of questions with a source before them that is known to bear the answer out. Higher is better."),
    "accuracy_above": Kind("How much more accurate it is, tuned and with sources, than each other way.", percent, (-1.0, 1.0)),
    "needless_unknown": Kind("Of what can be answered, the share where it says that it doesn't know. Lower is better."),
}


_OTHERS = {  # which have sections of their own on the page
    "retention": Kind("How much of the base's general log-probability is left; 100 % is as much as before.", percent, (0.0, math.inf)),
    "win_rate": Kind("How often people prefer it, ties counted half. 50 % is as good as the other."),
}


def kind_of(key: str, estimate: Estimate) -> Kind:
    """How a figure is shown: as known by its name, else as a share where its interval lies in 0 to 1."""
    ends = (estimate.low, estimate.value, estimate.high)
    share = all(0 <= end <= 1 for end in ends)
    return KINDS.get(key) or _OTHERS.get(key) or (Kind("") if share else Kind("", decimal, (-math.inf, math.inf)))
