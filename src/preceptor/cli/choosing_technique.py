"""`preceptor train auto`: the table of techniques with what speaks for each, and the one to train with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from preceptor.cli.output import progress_bar, table

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.project.choosing.techniques import Chosen

AUTO = "auto"


def chosen_technique(project: Project, snapshot: str, base: str, seed: int) -> Chosen:
    """The technique for a snapshot, by what is at hand and by short trainings."""
    from preceptor.project.choosing.techniques import choose_technique

    with progress_bar(project.config.cost) as tell:
        return choose_technique(project, project.load_snapshot(snapshot), base, seed=seed, progress=tell)


def as_table(found: Chosen) -> str:
    """For people: each technique, what its short training showed, what the whole one costs, and why."""
    told = found.to_dict()
    rows = [(each["name"], *_figures(each, told), "<-" if each["name"] == found.recipe else "", each["why"]) for each in told["techniques"]]
    return "\n".join([table(("technique", "validation", "gain, points", "seconds", "cost", "", "why"), rows), "", told["words"]])


def _figures(each: dict[str, Any], told: dict[str, Any]) -> tuple[str, str, str, str]:
    from preceptor.domain import Estimate

    if not each["able"]:
        return ("no", "", "", "")
    if "pilot" not in each:
        return ("", "", "", "")
    pilot = each["pilot"]
    gain = Estimate.of(pilot["gain"]).in_points() if pilot["gain"] else ""
    return (
        str(Estimate.of(pilot["value"])),
        gain.replace(" points", ""),
        f"{each['seconds']:,.0f}",
        f"{each['cost']:.4f} {told['pilots']['currency']}",
    )
