"""Moving one model, from its files to its successor's report. Whatever an earlier start has done is not done again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.errors import NotFound, UserError
from preceptor.evaluation import Report
from preceptor.formats.locking import locked
from preceptor.project import lineage, proving
from preceptor.project.evaluating import evaluating
from preceptor.project.jobs.running import METHODS
from preceptor.project.jobs.running import options as usual_options
from preceptor.project.migration import asking
from preceptor.project.migration.adopting import Adopted, adopt, lines, name_of, program_of
from preceptor.project.migration.gathering import Gathered, gather
from preceptor.project.migration.proposing import propose
from preceptor.project.migration.sources import Source, fetch
from preceptor.project.migration.succeeding import Variant, train
from preceptor.project.migration.teaching import Taught, asked_rows, how, teach, turns
from preceptor.project.migration.weighing import Weighed, month, weigh
from preceptor.providers import LISTED, Answered, HostedProvider, Price, Service, price_of
from preceptor.recipes import Progress
from preceptor.snapshots import SPLITS

if TYPE_CHECKING:
    from preceptor.project.project import Project

JUDGED_BY = ("accuracy", "token_f1", "exact_match")  # the first of these that there is
TrainOn = Literal["rows", "teacher", "both", "best"]


@dataclass(frozen=True)
class Wishes:
    """What is wanted of a move.

    base: what to start from, none: as `propose` does. teacher: ask the hosted model while it lives. train_on: the rows, its
    answers, both, or the best of the three on validation rows. max_cost: dollars that its answers may cost in all. prices: by
    the beginning of a model's name. requests: a month. ask: pairs of answers for people.
    margin: how much worse than the hosted model, as a difference of shares, the successor may be (of
    non-inferiority). options: of the recipe `sft`.
    """

    base: str | None = None
    teacher: bool = False
    train_on: TrainOn = "best"
    max_cost: float = 0.0
    prices: Mapping[str, Price] | None = None
    requests: int = 100_000
    ask: int = 50
    margin: float = 0.05
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asks_training(self) -> bool:
        """Whether the hosted model is asked the questions that are trained on, too."""
        return self.teacher and self.train_on != "rows"

    def of(self, source: Source) -> Wishes:
        """As they are for this model: one that learnt preferences is succeeded by what learns them, and its answers teach nothing."""
        return replace(self, train_on="rows") if source.method == "dpo" else self


@dataclass(frozen=True)
class Moved:
    """A report, where its page lies, and the three lines that the code changes: the one with the token is nowhere else."""

    report: Report
    page: Path
    lines: Sequence[str]


def move(
    project: Project, source: Source, service: Service | None, wishes: Wishes, tell: Callable[[Progress], None] = lambda step: None
) -> Moved:
    """Fetch, teach, train, weigh, ask people; the report, which also lies in the source's folder as HTML and JSON.

    service: None for files alone. UserError where it can't be done, with everything kept that was.
    """
    if source.why_not:
        raise UserError(f"{source.name} can't be moved: {source.why_not}", "name another job")
    base, wishes = propose(wishes.base).base, wishes.of(source)
    refusal = UserError(f"another process moves {source.folder.name} already", "wait for it to end")
    with locked(source.folder / "lock", refusal):  # two at once would pay twice
        if service is not None:
            fetch(service, source)
        gathered = gather(project, source)
        taught, price, words = _taught(project, source, service, wishes, gathered, tell)
        seed, options = int(source.job.get("seed") or 0), _options(source, wishes)
        variants = train(project, source, gathered, taught, wishes.train_on, base, seed=seed, options=options, tell=tell)
        proved = proving.proved(project, variants[0].model, None)
        weighed = weigh(variants[0].model, base, gathered, taught, source.folder)
        asked = asking.put(project, source.name, weighed, wishes.ask)
        name = name_of(project, source, variants[0].model, base)
        moved = {
            "source": source.name, "hosted": source.hosted or None, "base": base, **_gathered(gathered), **_told(taught, variants),
            "form": weighed.sections["form"] or None,
            "month": month(weighed, taught, price, wishes.requests, project.config.cost.hour),
            "asked": asked, "question": asking.name_of(source.name) if asked else None,
            "people": asking.preferred(project, source.name),
            "words": [*gathered.words, *words], "lines": lines(project, Adopted(name, program_of(source), "")),
        }  # fmt: skip
        document = {**_document(project, source, variants[0], weighed), "parity": proved, "migration": moved}
        document["bounds"] = _bounds(weighed, wishes.margin)
        report = evaluating.keep(project, variants[0].model, variants[0].snapshot, document, "test")
        report.save_json(source.folder / "report.json")
        report.save_html(source.folder / "report.html")
        adopted = adopt(project, source, variants[0].model, base)  # last, for its token is shown once
    return Moved(report, source.folder / "report.html", lines(project, adopted))


def _taught(
    project: Project, source: Source, service: Service | None, wishes: Wishes, gathered: Gathered, tell: Callable[[Progress], None]
) -> tuple[Taught | None, Price | None, list[str]]:
    """The hosted model's answers with their price, or none, and why."""
    if service is None or not source.hosted:
        return None, None, ["There is no hosted model to ask: the successor is measured beside its base."]
    if not wishes.teacher:
        return None, None, ["The hosted model was not asked (--teacher): the successor is measured beside its base."]
    price, answered = price_of(source.hosted, wishes.prices or LISTED), Answered(source.folder / "answers.jsonl")
    provider = HostedProvider(source.hosted, service, answered, price=price, most=wishes.max_cost)
    asked = asked_rows(gathered, training=wishes.asks_training)
    missing = provider.cost([turns(row) for row in asked], how(gathered)).requests
    try:
        if missing and not service.has_model(source.hosted):
            raise NotFound(f"{source.hosted} isn't at {service.address} any more")
        return teach(project, source, provider, gathered, training=wishes.asks_training, tell=tell), price, []
    except NotFound as fault:
        if missing < len(asked):
            kept = f"{len(asked) - missing:,} of {len(asked):,} answers are here"
            raise UserError(f"{fault.message}, and {kept}", "--train-on rows needs those to the held-out rows only") from None
        return None, None, [f"{fault.message}: it goes on without a teacher, and the successor is measured beside its base."]


def _options(source: Source, wishes: Wishes) -> dict[str, Any]:
    """The recipe's options: the job's passes over the rows; batch and rate belong to another model, and are found anew."""
    epochs = source.hyperparameters.get("n_epochs", "auto")
    return {**usual_options({"n_epochs": epochs}, METHODS[source.method].recipe), **wishes.options}


def _gathered(gathered: Gathered) -> dict[str, Any]:
    """How many rows there are on each side, and how many were left out by reason."""
    counts = {side: len(gathered.side(side)) for side in SPLITS}
    return {"rows": {**counts, "left_out": dict(gathered.left_out)}}


def _told(taught: Taught | None, variants: list[Variant]) -> dict[str, Any]:
    """What the hosted model gave, and what was trained on it; the first variant is the one taken."""
    given = taught and {"answers": len(taught.answers), "empty": taught.empty, "paid": taught.paid, "again": taught.again}
    trained = [
        {"train_on": each.train_on, "model": each.model.id, "score": each.score, "taken": each is variants[0]} for each in variants
    ]  # fmt: skip
    return {"teacher": given, "variants": trained}


def _bounds(weighed: Weighed, margin: float) -> list[str]:
    """What the successor must reach: not worse than the hosted model by more than the margin; where that can't be asked, not worse than
    its base."""
    other = "hosted" if "hosted" in weighed.texts else "base"
    figure = next(name for name in JUDGED_BY if f"tuned_minus_{other}_{name}" in weighed.sections["comparison"])
    return [f"tuned_minus_{other}_{figure}.low >= {-margin if other == 'hosted' else 0:g}"]


def _document(project: Project, source: Source, best: Variant, weighed: Weighed) -> dict[str, Any]:
    """The report's other sections."""
    traced = lineage.trace(project, best.model.id)
    sections = {name: weighed.sections[name] for name in ("models", "comparison", "examples")}
    return evaluating.about(project, best.snapshot) | {
        "title": f"{project.config.name}: the successor of {source.hosted or source.name}",
        "seed": best.model.manifest["seed"],
        "training": evaluating.training_section(best.model),
        **sections,
        "generation": {"rows": len(weighed.rows), "base": True},
        "cost": evaluating.cost(project, best.model),
        "lineage": {
            "model": best.model.id, "weights": best.model.manifest["weights"], "snapshot": traced["snapshot"],
            "judgments": traced["judgments"]["count"], "annotators": len(traced["annotators"]),
        },
        "split": {"name": "test"},
    }  # fmt: skip
