"""What is checked: a snapshot's rows with all that several checks need of them, each made once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.curation import Clusters, near_duplicates
from preceptor.domain.results import FloatArray
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
    tell: Tell = field(default=lambda done, total: None)

    @cached_property
    def rows(self) -> list[Row]:
        return list(self.snapshot.rows())

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
        from preceptor.models import text_vectors

        return kept_vectors(
            self.project.folder / "checks" / "vectors", self.vectors_name, self.texts, lambda: text_vectors(self._encoder, self.texts)
        )

    @property
    def vectors_name(self) -> str:
        """The base whose vectors are taken: the one that is checked for where it is an encoder, else MiniLM."""
        return str(self.base) if self.base and _reads(start_folder(self.project, self.base)) else VECTORS

    @property
    def _encoder(self) -> Path:
        return start_folder(self.project, self.vectors_name)

    @property
    def is_classes(self) -> bool:
        """Whether one of several answers is right for each row, so that a model can say which."""
        return self.snapshot.target_kind in ("nominal", "ordinal") and len(self.snapshot.answers) > 1

    def fraction(self, at: int) -> float:
        """The probability that a row's own answer has in its target."""
        return max(self.rows[at].target.values(), default=0.0)


def kept_vectors(folder: Path, name: str, texts: Sequence[str], make: Callable[[], FloatArray]) -> FloatArray:
    """Vectors as an earlier check left them in a folder, for the same texts and base; else made and kept."""
    import numpy as np

    from preceptor.formats.atomic import atomic_write

    told = hashlib.sha256(name.encode())
    for text in texts:
        told.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    path = folder / f"{told.hexdigest()[:32]}.npy"
    if path.exists():
        found: FloatArray = np.load(path, allow_pickle=False)
        if len(found) == len(texts):
            return found.astype(np.float64)
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        np.save(file, made.astype(np.float32), allow_pickle=False)
    return made.astype(np.float32).astype(np.float64)


def _reads(folder: Path) -> bool:
    """Whether a base is an encoder, which reads a whole text at once."""
    import json

    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = " ".join(config.get("architectures") or ())
    return not ("CausalLM" in named or "LMHead" in named or config.get("is_encoder_decoder", False) or config.get("is_decoder", False))
