"""Train the project's own judge of whether sources support a claim, and load it.

The training data are claims with texts and labels of whether the texts support them, read from files and altered automatically. The judge
is a small cross-encoder that the recipe `classify` trains on pairs of a text and a claim.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import UserError
from preceptor.evaluation.judges import CaseJudge, measure_agreement
from preceptor.evaluation.judges.claim_judges import (
    JUDGE_FILE,
    SUPPORTED,
    UNSUPPORTED,
    EntailmentJudge,
    OverlapJudge,
    corrupt_claim,
    has_passage,
    judge_input,
    judge_manifest,
)
from preceptor.evaluation.judges.judge import JudgeCase
from preceptor.evaluation.judges.validation import MIN_JUDGE_LABELS as FEWEST_HELD
from preceptor.models.base_models import find_base_folder
from preceptor.retrieval.text_analysis import split_sentences
from preceptor.storage.snapshot_rows import split_groups
from preceptor.types import Estimate, json_digest, render_sources

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.training import TrainingProgress


JUDGE_COLUMNS = {
    "sources": ("premise", "sources", "source", "document", "evidence", "context"),
    "claim": ("claim", "hypothesis", "statement"),
    "label": ("label", "verdict", "answer", "supported", "human_label"),
    "group": ("group", "document_id", "doc_id"),
}
_MIN_SUPPORT = 0.65  # from which on a claim counts as supported, so that an altered one is wrong
_MAX_SENTENCES, _MIN_SENTENCE_WORDS, _MAX_SENTENCE_WORDS = 25, 6, 35  # sentences of each pair's sources at most, and the words of each
_SUPPORTED_WORDS = "supported support supports entailment entailed entails yes true consistent faithful"
_UNSUPPORTED_WORDS = """contradicted contradiction contradicts refuted refutes not_found neutral unsupported not_supported not_entailment
not_entailed
inconsistent unfaithful hallucinated no false"""
SUPPORTED_LABELS, UNSUPPORTED_LABELS = frozenset(_SUPPORTED_WORDS.split()), frozenset(_UNSUPPORTED_WORDS.split())


@dataclass(frozen=True)
class ClaimPair:
    """A claim with its sources. supported: the share of people who say that the sources support it, 0 to 1. group: stays in one split."""

    claim: str
    sources: tuple[str, ...]
    supported: float
    group: str


def read_claim_pairs(files: Sequence[str | Path]) -> list[ClaimPair]:
    """Read pairs from files with columns for the source text, the claim and the label.

    `JUDGE_COLUMNS` lists the column names, `SUPPORTED_LABELS` and `UNSUPPORTED_LABELS` the labels; a share from 0 to 1 is a label, too. The
    same pair in several rows is one pair with the mean of their labels: a row may be one person's answer. Raises UserError for a file
    without such columns, and for a label that is none of these.
    """
    return merge_claim_pairs(pair for path in files for pair in _read_claim_file(Path(path)))


def add_altered_claims(pairs: Sequence[ClaimPair]) -> list[ClaimPair]:
    """Return the pairs, and further ones that need no label.

    These are supported claims altered to be wrong, sentences of the sources as claims that they support, and such sentences altered to be
    wrong.
    """
    more: list[ClaimPair] = []
    for pair in pairs:
        if pair.supported >= _MIN_SUPPORT and (wrong := corrupt_claim(pair.claim, pair.sources)):
            more.append(replace(pair, claim=wrong, supported=0.0))
    for sources, group in {pair.sources: pair.group for pair in pairs}.items():
        found = {
            sentence
            for source in sources
            for sentence in split_sentences(source)
            if _MIN_SENTENCE_WORDS <= len(sentence.split()) <= _MAX_SENTENCE_WORDS
        }
        for sentence in sorted(found, key=lambda sentence: _sources_digest([sentence]))[:_MAX_SENTENCES]:
            if wrong := corrupt_claim(sentence, sources):
                more += [ClaimPair(sentence, sources, 1.0, group), ClaimPair(wrong, sources, 0.0, group)]
    known = {(pair.claim, pair.sources) for pair in pairs}
    return [*pairs, *merge_claim_pairs(pair for pair in more if (pair.claim, pair.sources) not in known)]


def merge_claim_pairs(pairs: Iterable[ClaimPair]) -> list[ClaimPair]:
    """Merge equal pairs into one with the mean of their labels, in the order of first appearance."""
    said: dict[tuple[str, tuple[str, ...]], list[ClaimPair]] = defaultdict(list)
    for pair in pairs:
        said[pair.claim, pair.sources].append(pair)
    return [ClaimPair(*key, sum(pair.supported for pair in each) / len(each), each[0].group) for key, each in said.items()]


def _read_claim_file(path: Path) -> Iterator[ClaimPair]:
    from preceptor.formats import read

    rows = read(path, "plain")
    for row in rows:
        found = {
            what: next((row[name] for name in names if row.get(name) not in (None, "")), None) for what, names in JUDGE_COLUMNS.items()
        }
        if missing := [what for what in ("sources", "claim", "label") if found[what] is None]:
            names = ", ".join(JUDGE_COLUMNS[missing[0]])
            raise UserError(f"the row has no {missing[0]}", f"name its column one of: {names}", where=rows.where)
        claim, sources = str(found["claim"]).strip(), _parse_sources(found["sources"])
        if not claim:
            raise UserError("the claim is empty", "leave the row out", where=rows.where)
        group = str(found["group"] or _sources_digest(sources))
        yield ClaimPair(claim, sources, _parse_support(found["label"], rows.where), group)


def _parse_sources(value: Any) -> tuple[str, ...]:
    return render_sources({"sources": value if isinstance(value, list) else [value]})


def _parse_support(label: Any, where: str) -> float:
    if isinstance(label, bool):
        return float(label)
    word = str(label).strip().lower().replace(" ", "_").replace("-", "_")
    if word in SUPPORTED_LABELS or word in UNSUPPORTED_LABELS:
        return float(word in SUPPORTED_LABELS)
    try:
        share = float(word)
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    raise UserError(
        f"the label {label!r:.40} says neither supported nor not", "supported, contradicted or not_found; or a share, 0 to 1", where=where
    )


def _sources_digest(sources: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sources).encode("utf-8", "surrogatepass")).hexdigest()[:16]


JUDGE_FOLDER = "judge"  # the folder of a project's own judge
_MAX_CLAIM_TOKENS = 160  # of a claim with its passage, at most
_MIN_CLAIM_PAIRS = 40  # fewer pairs can't train a judge
_JUDGE_LEARNING_RATE, _JUDGE_EPOCHS = 5e-5, 3.0
_SPLIT_FRACTIONS = {"train": 0.85, "validation": 0.15, "test": 0.0}


@dataclass(frozen=True)
class _ClaimRow:
    """A pair as a training row."""

    id: str
    text: str
    target: dict[str, float]
    group: str
    weight: float = 1.0

    @property
    def content(self) -> dict[str, str]:
        return {"text": self.text}


@dataclass(frozen=True)
class _ClaimData:
    """The rows by split, as a recipe takes them."""

    rows_by_split: dict[str, list[_ClaimRow]]
    digest: str
    answers: tuple[str, ...] = (UNSUPPORTED, SUPPORTED)
    target_kind: str = field(default="nominal")

    def rows(self, side: str) -> Iterator[_ClaimRow]:
        return iter(self.rows_by_split[side])


def load_claim_judge(project: Project) -> CaseJudge:
    """Load the judge that was trained for this project, or return the word-overlap judge where there is none."""
    folder = project.folder / JUDGE_FOLDER
    return EntailmentJudge(folder) if (folder / JUDGE_FILE).is_file() else OverlapJudge()


def train_claim_judge(
    pairs: Sequence[ClaimPair],
    folder: str | Path,
    *,
    base: str | Path = "minilm",
    seed: int = 0,
    progress: Callable[[TrainingProgress], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a judge on pairs and publish it in `folder`, in place of an earlier one; return its description and its agreement with people.

    It trains on these pairs and on altered ones (`add_altered_claims`); its agreement is measured on pairs as people labelled them, of
    groups that it wasn't trained on. options: of the recipe `classify`. The same call again continues where it was interrupted. Raises
    UserError for too few pairs, or only one kind.
    """
    from preceptor.models.atomic_folder import publish, weights_digest
    from preceptor.models.loading import get_context_length, load_tokenizer
    from preceptor.training import TrainingRun, recipes

    target, start = Path(folder), find_base_folder(base)
    data, held = _split_claim_pairs(pairs, seed)
    recipe = recipes.get("classify")
    reads = get_context_length(start, load_tokenizer(start))
    chosen = recipe.Options.parse(
        {"learning_rate": _JUDGE_LEARNING_RATE, "epochs": _JUDGE_EPOCHS, "max_tokens": min(_MAX_CLAIM_TOKENS, reads), **options},
        of="the judge",
    )
    work = target.with_name(f".{target.name}-training")
    run = TrainingRun(work, start, data, seed, str(base)) if progress is None else TrainingRun(work, start, data, seed, str(base), progress)
    made = recipe(run, chosen)
    seen = [judge_input(pair.claim, pair.sources) for pair in pairs]
    described = judge_manifest(f"entailment judge from {Path(base).name}", weights_digest(made.path), seen, len(pairs))
    _write_json(made.path / JUDGE_FILE, described)
    publish(made.path, target)
    shutil.rmtree(work, ignore_errors=True)
    judge = EntailmentJudge(target)
    return {
        "judge": judge.name,
        "folder": str(target),
        "digest": judge.digest,
        "pairs": {side: len(rows) for side, rows in data.rows_by_split.items() if rows},
        "agreement": {name: estimate.to_dict() for name, estimate in _measure_agreement(judge, held).items()},
        "seconds": made.manifest["seconds"],
        "summary": made.manifest["summary"],
    }


def _split_claim_pairs(pairs: Sequence[ClaimPair], seed: int) -> tuple[_ClaimData, list[ClaimPair]]:
    """Split the pairs by group; return the training data and the pairs of the validation split."""
    pairs = [pair for pair in pairs if has_passage(judge_input(pair.claim, pair.sources))]
    if len(pairs) < _MIN_CLAIM_PAIRS:
        raise UserError(
            f"{len(pairs)} pairs are too few to train a judge on",
            f"bring {_MIN_CLAIM_PAIRS} at least; a thousand make a judge worth its while",
        )
    likely = [pair.supported > 0.5 for pair in pairs]
    if all(likely) or not any(likely):
        raise UserError(f"each pair is {'' if likely[0] else 'un'}supported: there is nothing to tell apart", "bring pairs of both kinds")
    sides, _ = split_groups([pair.group for pair in pairs], [[str(yes)] for yes in likely], fractions=_SPLIT_FRACTIONS)
    rows: dict[str, list[_ClaimRow]] = {side: [] for side in _SPLIT_FRACTIONS}
    side_of = dict(zip((pair.group for pair in pairs), sides, strict=True))
    for number, pair in enumerate(add_altered_claims(pairs)):
        side = side_of[pair.group]
        target = {UNSUPPORTED: 1 - pair.supported, SUPPORTED: pair.supported}
        rows[side].append(_ClaimRow(f"p{number}", judge_input(pair.claim, pair.sources), target, pair.group))
    digest = json_digest([[row.text, row.target[SUPPORTED], side] for side, found in rows.items() for row in found])
    return _ClaimData(rows, digest), [pair for pair, side in zip(pairs, sides, strict=True) if side == "validation"]


def _measure_agreement(judge: CaseJudge, held: Sequence[ClaimPair]) -> dict[str, Estimate]:
    """Measure the agreement with people on pairs that the judge wasn't trained on; empty where there are too few."""
    if len(held) < FEWEST_HELD:
        return {}
    scores = judge.scores([JudgeCase(pair.claim, pair.sources) for pair in held])
    return measure_agreement([pair.supported for pair in held], scores, clusters=[pair.group for pair in held]).figures()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
