"""The local judge of claims: a small cross-encoder that `classify` trains on pairs of a text and a claim."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Estimate, digest_of
from preceptor.errors import UserError
from preceptor.evaluation.judges import Judge, agreement_with_people
from preceptor.evaluation.judges.agreement import FEWEST as FEWEST_HELD
from preceptor.evaluation.judges.entailment import ABOUT, SUPPORTED, UNSUPPORTED, EntailmentJudge, about, as_read, is_readable
from preceptor.evaluation.judges.judge import Case
from preceptor.evaluation.judges.overlap import OverlapJudge
from preceptor.project.assets import base_folder
from preceptor.project.judges.pairs import Pair, with_altered
from preceptor.snapshots.split import split

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.recipes import Progress

HOME = "judge"  # the folder of a project's own judge
TOKENS = 160  # of a claim with its passage at most
FEWEST = 40  # pairs of which no judge can be made
RATE, EPOCHS = 5e-5, 3.0
SIDES = {"train": 0.85, "validation": 0.15, "test": 0.0}


@dataclass(frozen=True)
class _Row:
    """A pair as a row of training."""

    id: str
    text: str
    target: dict[str, float]
    group: str
    weight: float = 1.0

    @property
    def content(self) -> dict[str, str]:
        return {"text": self.text}


@dataclass(frozen=True)
class _Data:
    """The rows on their sides, as a recipe takes them."""

    sides: dict[str, list[_Row]]
    digest: str
    answers: tuple[str, ...] = (UNSUPPORTED, SUPPORTED)
    target_kind: str = field(default="nominal")

    def rows(self, side: str) -> Iterator[_Row]:
        return iter(self.sides[side])


def local_judge(project: Project) -> Judge:
    """The judge that was trained for this project; word overlap where none was."""
    folder = project.folder / HOME
    return EntailmentJudge(folder) if (folder / ABOUT).is_file() else OverlapJudge()


def train_judge(
    pairs: Sequence[Pair],
    folder: str | Path,
    *,
    base: str | Path = "minilm",
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Train a judge on pairs and put it into `folder`, in place of an earlier one; what it is and how far it agrees with people.

    It learns from these pairs and from more that are made of them (`with_altered`); its agreement is measured on pairs as people
    labelled them, of groups that it wasn't trained on. options: of the recipe `classify`. The same again continues where it was
    interrupted. UserError for too few pairs, or only one kind.
    """
    from preceptor.models.loading import load_tokenizer, reading_limit
    from preceptor.models.saving import publish, weights_digest
    from preceptor.recipes import Run, recipes

    target, start = Path(folder), base_folder(base)
    data, held = _laid_out(pairs, seed)
    recipe = recipes.get("classify")
    reads = reading_limit(start, load_tokenizer(start))
    chosen = recipe.Options.parse({"learning_rate": RATE, "epochs": EPOCHS, "max_tokens": min(TOKENS, reads), **options}, of="the judge")
    work = target.with_name(f".{target.name}-training")
    run = Run(work, start, data, seed, str(base)) if progress is None else Run(work, start, data, seed, str(base), progress)
    made = recipe(run, chosen)
    seen = [as_read(pair.claim, pair.sources) for pair in pairs]
    described = about(f"entailment judge from {Path(base).name}", weights_digest(made.path), seen, len(pairs))
    _write(made.path / ABOUT, described)
    publish(made.path, target)
    shutil.rmtree(work, ignore_errors=True)
    judge = EntailmentJudge(target)
    return {
        "judge": judge.name,
        "folder": str(target),
        "digest": judge.digest,
        "pairs": {side: len(rows) for side, rows in data.sides.items() if rows},
        "agreement": {name: estimate.to_dict() for name, estimate in _agreement(judge, held).items()},
        "seconds": made.manifest["seconds"],
        "words": made.manifest["words"],
    }


def _laid_out(pairs: Sequence[Pair], seed: int) -> tuple[_Data, list[Pair]]:
    """Rows on their sides, and the pairs of the validation side. A group is on one side."""
    pairs = [pair for pair in pairs if is_readable(as_read(pair.claim, pair.sources))]
    if len(pairs) < FEWEST:
        raise UserError(
            f"{len(pairs)} pairs are too few to train a judge on", f"bring {FEWEST} at least; a thousand make a judge worth its while"
        )
    likely = [pair.supported > 0.5 for pair in pairs]
    if all(likely) or not any(likely):
        raise UserError(f"each pair is {'' if likely[0] else 'un'}supported: there is nothing to tell apart", "bring pairs of both kinds")
    sides, _ = split([pair.group for pair in pairs], [[str(yes)] for yes in likely], fractions=SIDES)
    rows: dict[str, list[_Row]] = {side: [] for side in SIDES}
    side_of = dict(zip((pair.group for pair in pairs), sides, strict=True))
    for number, pair in enumerate(with_altered(pairs)):
        side = side_of[pair.group]
        target = {UNSUPPORTED: 1 - pair.supported, SUPPORTED: pair.supported}
        rows[side].append(_Row(f"p{number}", as_read(pair.claim, pair.sources), target, pair.group))
    digest = digest_of([[row.text, row.target[SUPPORTED], side] for side, found in rows.items() for row in found])
    return _Data(rows, digest), [pair for pair, side in zip(pairs, sides, strict=True) if side == "validation"]


def _agreement(judge: Judge, held: Sequence[Pair]) -> dict[str, Estimate]:
    """With people, on pairs that it wasn't trained on; nothing where they are too few to say."""
    if len(held) < FEWEST_HELD:
        return {}
    scores = judge.scores([Case(pair.claim, pair.sources) for pair in held])
    return agreement_with_people([pair.supported for pair in held], scores, clusters=[pair.group for pair in held]).figures()


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")
