"""Read a suite's file: what a model is asked, and what is measured in its answers. A short TOML file, without code.

`kind` says which figures it produces:

generation             metrics of answers against reference answers
policy                 violations of a policy's rules
selective_prediction   how errors fall as a model answers only where it is confident, and whether it abstains
multiple_choice        which of some options a model finds most probable
faithfulness           claims that their sources don't support
rag_ablation           a model and its base, each with and without sources: answers and citations
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field

from preceptor.errors import UserError
from preceptor.evaluation.metrics.metric import named_metrics
from preceptor.evaluation.policies.policy import read_toml_file
from preceptor.registry import OptionsBase, suggest_name
from preceptor.types import json_digest

SuiteKind = Literal["generation", "policy", "selective_prediction", "multiple_choice", "faithfulness", "rag_ablation"]
SUITE_KINDS: tuple[str, ...] = get_args(SuiteKind)

_MEASURED_BY_METRICS = ("generation", "selective_prediction", "rag_ablation")
_HINTS = {
    "generation": 'metrics = ["exact_match", "rouge_l"]',
    "selective_prediction": 'metrics = ["exact_match"], which says whether an answer is right',
    "rag_ablation": 'metrics = ["exact_match"], which says how right an answer is',
}


class EvaluationSuite(OptionsBase):
    """The contents of a suite's file, its paths made absolute."""

    kind: SuiteKind
    name: str = Field("", description="what the suite is called in reports and in the gate; the file's own name when empty")
    title: str = Field("", description="a line for people; the name when empty")
    prompts: Path | None = Field(None, description="the file of prompts, beside this one; the model's own test rows when missing")
    group: str = Field("group", description="the column that says which prompts belong together, such as customer or document")
    slices: tuple[str, ...] = Field((), description="columns by which figures are shown apart: topic, language")
    max_tokens: int = Field(256, ge=1, description="an answer's longest length")
    metrics: tuple[str | dict[str, Any], ...] = Field((), description='names, or tables such as { name = "chrf", word_order = 2 }')
    policy: Path | None = Field(None, description="the policy's file, beside this one")
    judge: str = Field("", description="the judge that gives scores where rules can't")
    coverages: tuple[float, ...] = Field(
        (0.8, 0.5, 0.9), description="shares of the most confident answers at which the error rate is reported; the first is the main one"
    )

    @property
    def digest(self) -> str:
        """The digest of the suite and of the files that it names, so that another suite never passes for this one."""
        files = {part: _file_digest(path) for part in ("prompts", "policy") if (path := getattr(self, part)) is not None}
        fields = self.model_dump(mode="json", exclude={"prompts", "policy"})
        return json_digest({**fields, **files})


def read_suite(path: str | Path) -> EvaluationSuite:
    """Read the suite that a file describes.

    Raises UserError where the file is not a suite, or names what doesn't exist.
    """
    file = Path(path)
    values = read_toml_file(file, "a suite")
    if "kind" not in values:
        raise UserError("a suite must say its kind", f"kind = one of {', '.join(map(repr, SUITE_KINDS))}", where=str(file))
    if (kind := values["kind"]) not in SUITE_KINDS:
        guess = suggest_name(kind, SUITE_KINDS) if isinstance(kind, str) else ""
        raise UserError(f"no kind of suite is called {kind!r}{guess}", f"kinds: {', '.join(SUITE_KINDS)}", where=str(file))
    suite = EvaluationSuite.parse(values, of=f"suite {file}")
    name = suite.name or file.stem
    beside = {part: (file.parent / found).resolve() for part in ("prompts", "policy") if (found := getattr(suite, part)) is not None}
    for part, target in beside.items():
        if not target.is_file():
            raise UserError(f"there is no {part} file {target}", "paths are from the suite's own folder on", where=str(file))
    _check_suite(suite, str(file))
    return suite.model_copy(update={"name": name, "title": suite.title or name, **beside})


def _check_suite(suite: EvaluationSuite, where: str) -> None:
    if suite.kind in _MEASURED_BY_METRICS and not suite.metrics:
        raise UserError("a suite without a metric measures nothing", _HINTS[suite.kind], where=where)
    if suite.metrics and suite.kind not in _MEASURED_BY_METRICS:
        raise UserError(f"a suite of kind {suite.kind!r} has figures of its own and takes no metrics", "leave metrics out", where=where)
    if (suite.kind == "policy") != (suite.policy is not None):
        hint = 'policy = "policy.toml"' if suite.kind == "policy" else 'leave it out, or make a suite of kind = "policy"'
        what = "needs a policy's file" if suite.kind == "policy" else f"of kind {suite.kind!r} has no use for a policy"
        raise UserError(f"this suite {what}", hint, where=where)
    if suite.kind == "multiple_choice" and suite.prompts is None:
        raise UserError(
            "a suite of kind 'multiple_choice' needs a file of questions with options", 'prompts = "questions.jsonl"', where=where
        )
    if not suite.coverages or not all(0 < share <= 1 for share in suite.coverages):
        raise UserError("coverages are shares of the answers, above 0 and at most 1", "coverages = [0.8, 0.5]", where=where)
    named_metrics(suite.metrics, where=where)


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
