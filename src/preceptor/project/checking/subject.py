"""What is checked: a snapshot's rows with all that several checks need of them, each made once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.curation import Clusters, near_duplicates
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.project.bases import start_folder
from preceptor.snapshots import SPLITS, Row, Snapshot
from preceptor.snapshots.checks import TEMPLATE_SHARE

if TYPE_CHECKING:
    from preceptor.project.project import Project

VECTORS = "minilm"  # whose vectors say which answer a text has, unless another base is named
Tell = Callable[[int, int], None]


@dataclass(eq=False)
class Subject:
    """A snapshot under check. base: the model that it is checked for, if any; live: texts that a model meets in use, where given."""

    project: Project
    snapshot: Snapshot
    base: str | None = None
    live: Sequence[str] = ()
    live_name: str = ""
    with_vectors: bool = True
    tell: Tell = field(default=lambda done, total: None)

    @cached_property
    def rows(self) -> list[Row]:
        return list(self.snapshot.rows())

    @cached_property
    def by_id(self) -> dict[str, Row]:
        return {row.id: row for row in self.rows}

    @cached_property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    @cached_property
    def clusters(self) -> Clusters:
        return near_duplicates(self.texts)

    @cached_property
    def copies(self) -> list[tuple[int, ...]]:
        """Clusters of duplicates by the places of their rows; one of more than a fifth of the rows is a template, and none."""
        return [rows for rows in self.clusters.members() if len(rows) <= max(TEMPLATE_SHARE * len(self.rows), 2)]

    @cached_property
    def sides(self) -> dict[str, list[int]]:
        """The places of each side's rows."""
        return {side: [at for at, row in enumerate(self.rows) if row.split == side] for side in SPLITS}

    @cached_property
    def held_out(self) -> list[int]:
        """The places of rows that aren't trained on."""
        return [at for at, row in enumerate(self.rows) if row.split != "train"]

    @cached_property
    def vectors(self) -> FloatArray:
        """One vector a text, of an encoder; kept in the project's folder, since a large set takes minutes."""
        return self.vectors_of(self.texts)

    def vectors_of(self, texts: Sequence[str]) -> FloatArray:
        """The vectors of any texts, by the same encoder; UserError where vectors aren't wanted."""
        from preceptor.recipes.out_of_fold import kept_vectors

        if not self.with_vectors:
            raise UserError("it needs vectors of the texts, which weren't wanted")
        return kept_vectors(start_folder(self.project, self.encoder), texts, self.project.folder / "checks" / "vectors")

    @cached_property
    def encoder(self) -> str:
        """Whose vectors are taken: the base that is checked for where it is an encoder, else MiniLM."""
        return str(self.base) if self.base and self.reads else VECTORS

    @cached_property
    def reads(self) -> bool:
        """Whether the base is an encoder, which reads a whole text at once, and doesn't write."""
        return self.base is not None and _reads(start_folder(self.project, self.base))

    @property
    def is_classes(self) -> bool:
        """Whether one of several answers is right for each row, so that a model can say which."""
        return self.snapshot.target_kind in ("nominal", "ordinal") and len(self.snapshot.answers) > 1


def _reads(folder: Path) -> bool:
    """Whether a base is an encoder, which reads a whole text at once."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = " ".join(config.get("architectures") or ())
    return not ("CausalLM" in named or "LMHead" in named or config.get("is_encoder_decoder", False) or config.get("is_decoder", False))
