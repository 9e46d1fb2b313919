"""The worst of a model's claims, each beside what its sources say: what people found wrong first, then what a judge suspects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from preceptor.evaluation.answers import Answers
from preceptor.evaluation.faithfulness import Response
from preceptor.evaluation.judges import Case, Judge
from preceptor.evaluation.judges.evidence import passage

EXAMPLES = 10
LONGEST = 1_500  # characters of a prompt or a response that are shown
_ORDER = {"contradicted": 0, "not_found": 1, None: 2}


def worst(answers: Answers, responses: Sequence[Response], judge: Judge) -> list[dict[str, Any]]:
    """At most `EXAMPLES` claims, the worst of each response before a second one of any: what people found contradicted, what they
    didn't find, then the judge's lowest scores that nobody has checked."""
    found = sorted(_suspect(responses), key=lambda claim: (_ORDER[claim[2]], claim[3], claim[0], claim[1]))
    rank: Counter[int] = Counter()
    ranked = []
    for claim in found:
        ranked.append((rank[claim[0]], claim))
        rank[claim[0]] += 1
    chosen = [claim for _, claim in sorted(ranked, key=lambda pair: pair[0])[:EXAMPLES]]
    return [_shown(answers, responses[row], row, number, judge) for row, number, *_ in chosen]


def _suspect(responses: Sequence[Response]) -> list[tuple[int, int, str | None, float]]:
    """(response, claim, people's verdict, support) of what people found wrong, or the judge flags and people haven't checked."""
    suspects = []
    for row, response in enumerate(responses):
        for number, support in enumerate(np.nan_to_num(response.support, nan=1.0).tolist()):
            verdict = (response.verdicts or {}).get(number)
            if verdict in ("contradicted", "not_found") or (verdict is None and support < 0.5):
                suspects.append((row, number, verdict, support))
    return suspects


def _shown(answers: Answers, response: Response, row: int, number: int, judge: Judge) -> dict[str, Any]:
    claim, asked = response.claims[number], answers.asked[row]
    case = Case(claim, asked.sources, asked.prompt)
    support = float(response.support[number])
    evidence = judge.evidence(case) if hasattr(judge, "evidence") else passage(claim, asked.sources)
    return {
        "id": response.id,
        "claim": claim,
        "verdict": (response.verdicts or {}).get(number),
        "judge": None if np.isnan(support) else round(support, 4),
        "evidence": evidence or "Nothing in the sources has to do with this claim.",
        "prompt": asked.prompt[:LONGEST],
        "response": answers.texts[row][:LONGEST],
    }
