"""What is known of the controls before the first task of an export is read: from its labelling config, else from all tasks.

A region doesn't say whether its control takes one choice or several, nor which field its object shows. Without a config the file
is gone through once: a control of which any annotation holds several choices takes several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.tools.label_studio_config import SPANS, Config

_KINDS = {"rating": "rating", "pairwise": "compare", "ranker": "rank", "taxonomy": "multilabel", "choices": "choice"}


@dataclass
class Known:
    """Of the controls by name: their `kinds` ("" where there is none here), `types`, and the object that each is about (`to`).

    objects: the field of `data` that each object shows. shown: these fields, in order. settled: whether a config says all this.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    to: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    compared: list[str] = field(default_factory=list)
    conditional: set[str] = field(default_factory=set)
    settled: bool = False

    @property
    def shown(self) -> list[str]:
        """Fields of `data` that people see."""
        return list(dict.fromkeys(self.objects.values()))

    @property
    def spans(self) -> list[str]:
        """Controls that mark passages and are always shown: an annotation without a region of theirs says that there is none."""
        names = (name for name, type_ in self.types.items() if type_ in SPANS and self.kinds.get(name) == "spans")
        return [name for name in names if name not in self.conditional]

    def controls(self) -> dict[str, list[str]]:
        """Type and object of each control, as it is kept with an item so that new answers can be written for the same config."""
        return {name: [type_, self.to[name]] for name, type_ in self.types.items() if name in self.to}


def known_from(config: Config) -> Known:
    """What a labelling config says."""
    pairs = [control.to for control in config.controls.values() if control.kind == "compare" and len(control.to) == 2]
    return Known(
        kinds={control.name: control.kind for control in config.controls.values()},
        types={control.name: control.type for control in config.controls.values()},
        to={control.name: control.to[0] for control in config.controls.values()},
        objects=dict(config.objects),
        compared=[config.objects[name] for name in pairs[0] if name in config.objects] if pairs else [],
        conditional={control.name for control in config.controls.values() if control.conditional},
        settled=True,
    )


def known_by_scan(tasks: Iterable[Mapping[str, Any]]) -> Known:
    """What the tasks themselves show; stops where they can't be read (reading them tells why)."""
    known = Known()
    try:
        for task in tasks:
            for result in results_of(task):
                _learn(known, result)
    except UserError:
        pass
    return known


def what_lacks(config: Config, tasks: Iterable[Mapping[str, Any]]) -> str:
    """What shows that a config isn't that of these tasks; empty where nothing does."""
    names: set[str] = set()
    with suppress(UserError):  # reading them tells why
        for task in tasks:
            for region in (each for result in results_of(task) for each in result if isinstance(each, dict)):
                if isinstance(name := region.get("from_name"), str) and name not in config.controls:
                    return f"has no control called {name!r}"
            data = task.get("data", task)
            names |= set(data) if isinstance(data, Mapping) else set()
    return "" if names & {*config.controls, *config.objects.values()} else "shows none of the fields of these tasks"


def results_of(task: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The results of people's annotations and of models' predictions."""
    for key in ("annotations", "completions", "predictions", "drafts"):
        entries = task.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("result"), list):
                yield entry["result"]


def _learn(known: Known, result: list[Any]) -> None:
    chosen: dict[str, int] = {}
    passages = labelled(region for region in result if isinstance(region, dict))
    for region in result:
        if not isinstance(region, dict) or not isinstance(region.get("value"), dict) or is_about_one(region, passages):
            continue
        name, type_, to = region.get("from_name"), region.get("type"), region.get("to_name")
        if not isinstance(name, str) or not isinstance(type_, str) or not isinstance(to, str):
            continue
        known.types.setdefault(name, type_)
        known.to.setdefault(name, to)
        kind = "spans" if type_ in SPANS else _KINDS.get(type_)
        if type_ == "choices" and isinstance(region["value"].get("choices"), list):
            chosen[name] = chosen.get(name, 0) + len(region["value"]["choices"])
            kind = "multilabel" if chosen[name] != 1 else known.kinds.get(name, "choice")
        if kind:
            known.kinds[name] = kind


def labelled(regions: Iterable[Mapping[str, Any]]) -> set[str]:
    """The ids of the regions that mark something."""
    return {region["id"] for region in regions if isinstance(region.get("id"), str) and str(region.get("type")).endswith("labels")}


def is_about_one(region: Mapping[str, Any], marked: set[str]) -> bool:
    """Whether a region answers a question about a single marked region: it has the id and the place of that one."""
    if str(region.get("type")).endswith("labels"):
        return False
    return "start" in region["value"] or "x" in region["value"] or (isinstance(region.get("id"), str) and region["id"] in marked)
