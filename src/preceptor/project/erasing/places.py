"""Where copies lie among a project's files, and what is left of each kind of file.

What can be made again (caches, checks, unfinished runs) is thrown away; what can't is written without the text. Files that somebody
laid there themselves are theirs: they are named, and left.
"""

from __future__ import annotations

import json
import mmap
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from preceptor.domain import digest_of
from preceptor.formats.checksums import rewrite
from preceptor.project.erasing.texts import SHOWN, without, without_rows, without_shown
from preceptor.store import Objects

if TYPE_CHECKING:
    from preceptor.project.project import Project

CACHES = ("runs", "checks", "answers", "scores", "judges", "hosted", "lineage")  # folders whose files are made again when they are needed
WRITTEN_ANEW = ("side-by-side", "migration")  # folders of records, as JSON


def holding(folder: Path, texts: Sequence[bytes]) -> Iterator[Path]:
    """The files in a folder, the database's own too, in which any of these texts stands."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and holds(path, texts):
            yield path


def holds(path: Path, texts: Sequence[bytes]) -> bool:
    """Whether any of these texts stands in a file."""
    if not texts or path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return any(data.find(text) >= 0 for text in texts)


def discard(project: Project, digests: Collection[str]) -> None:
    """Remove objects, files or folders, that nothing names any more."""
    for root in (project.objects, Objects(project.folder / "objects" / "files")):
        for digest in digests:
            path = root.path(digest)
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@dataclass
class Copies:
    """What was done about copies. new: object -> what it became. left: files that stay as they are, with the reason."""

    project: Project
    texts: tuple[str, ...]
    spelled: tuple[bytes, ...]
    ids: frozenset[str]
    new: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    def objects(self, digests: Mapping[str, Sequence[str]], models: Sequence[str]) -> None:
        """Put anew what of consensus, reports and uploads holds any of it; the old ones are still there. models: that learnt from it."""
        for digest in digests["consensus"]:
            self._consensus(digest)
        for digest in digests["report"]:
            path = self.project.objects.path(digest)
            shows = path.is_file() and holds(path, [SHOWN.encode()]) and holds(path, [model.encode() for model in models])
            if shows or self._is_held(path):
                document = json.loads(self.project.objects.get(digest))
                self._put(digest, without(without_rows(without_shown(document), self.ids), self.texts))
        uploads = Objects(self.project.folder / "objects" / "files")
        for digest in digests["file"]:
            if self._is_held(uploads.path(digest)):
                kept = [line for line in uploads.get(digest).splitlines(keepends=True) if not any(text in line for text in self.spelled)]
                self._became(digest, uploads.put(b"".join(kept)))

    def caches(self) -> None:
        """Throw away what can be made again, and write records anew without it."""
        for name in CACHES:
            root = self.project.folder / name
            for top in sorted(root.iterdir()) if root.is_dir() else ():
                if top.is_dir() and next(holding(top, self.spelled), None) is not None:
                    shutil.rmtree(top)
                elif top.is_file() and holds(top, self.spelled):
                    top.unlink()
        for name in WRITTEN_ANEW:
            for path in list(holding(self.project.folder / name, self.spelled)):
                self._rewrite(path)

    def runs(self, runs: Collection[str], snapshots: Collection[str]) -> None:
        """Throw away unfinished runs and checks of snapshots that held it: what they keep isn't all text that can be searched."""
        for path in [*(self.project.folder / "runs" / run for run in runs), *(self.project.folder / "checks" / each for each in snapshots)]:
            shutil.rmtree(path, ignore_errors=True)

    def models(self, models: Sequence[str]) -> None:
        """Take it out of what lies beside a model's weights: what it said of probes, and texts that were shown."""
        for model in models:
            folder = self.project.objects.path(digest_of(model))
            probes = folder / "parity.json"
            if probes.is_file() and (known := json.loads(probes.read_text(encoding="utf-8")))["rows"].keys() & self.ids:
                rows = {id_: row for id_, row in known["rows"].items() if id_ not in self.ids}
                _write(probes, json.dumps({**known, "rows": rows}, indent=2, ensure_ascii=False))
            if (manifest := folder / "manifest.json").is_file():
                _write(manifest, json.dumps(without_shown(json.loads(manifest.read_text(encoding="utf-8"))), indent=2, ensure_ascii=False))
        for path in list(holding(self.project.folder / "objects", self.spelled)):
            if path.parent.name in self._of(models):
                self._rewrite(path)

    def _consensus(self, digest: str) -> None:
        path = self.project.objects.path(digest)
        spelled = tuple(json.dumps(id_, ensure_ascii=False).encode("utf-8", "surrogatepass") for id_ in self.ids)
        if not path.is_file() or not holds(path, (*spelled, *self.spelled)):
            return
        document = json.loads(self.project.objects.get(digest))
        items = {id_: found for id_, found in document.get("items", {}).items() if id_ not in self.ids}
        if len(items) < len(document.get("items", {})) or self._is_held(path):
            self._put(digest, without({**document, "items": items}, self.texts))

    def _put(self, before: str, document: object) -> None:
        self._became(before, self.project.objects.put(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()))

    def _became(self, before: str, after: str) -> None:
        if after != before:
            self.new[before] = after

    def _rewrite(self, path: Path) -> None:
        """A JSON file, or lines of JSON, without it; what is neither is named and left."""
        try:
            _write(path, _without_in(path.read_text(encoding="utf-8"), path.suffix, self.texts))
        except (UnicodeDecodeError, ValueError):
            self.left[str(path.relative_to(self.project.folder))] = "it is no text that can be written anew"

    def _of(self, models: Sequence[str]) -> set[str]:
        return {digest_of(model) for model in models}

    def _is_held(self, path: Path) -> bool:
        return path.is_file() and holds(path, self.spelled)


def _without_in(text: str, suffix: str, texts: tuple[str, ...]) -> str:
    if suffix == ".jsonl":
        lines = [json.dumps(without(json.loads(line), texts), ensure_ascii=False) for line in text.splitlines() if line.strip()]
        return "".join(f"{line}\n" for line in lines)
    return json.dumps(without(json.loads(text), texts), indent=2, ensure_ascii=False)


def _write(path: Path, text: str) -> None:
    rewrite(path, text.encode())
