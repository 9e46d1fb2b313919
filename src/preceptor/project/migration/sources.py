"""What can be moved: hosted jobs with their files, as a service lists them, or training files alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.errors import NotFound, UserError
from preceptor.formats import read
from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.project.jobs.preference_files import SIDES, preference
from preceptor.project.jobs.training_files import conversation
from preceptor.providers import Service


@dataclass(frozen=True)
class Source:
    """One model to be succeeded. folder: where all that belongs to it stays. job: as the service describes it, empty without one.

    files: by role (train, validation) the id of a file at the service. here: by role files of one's own, which take precedence.
    why_not: the reason why it can't be moved, if it can't.
    """

    name: str
    folder: Path
    job: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    here: Mapping[str, Path] = field(default_factory=dict)
    why_not: str = ""

    @property
    def hosted(self) -> str:
        """The tuned model's name at the service; empty when there is none."""
        return str(self.job.get("fine_tuned_model") or "")

    @property
    def method(self) -> str:
        """How the model was trained: supervised, dpo, or another way that can't be moved."""
        return str((self.job.get("method") or {}).get("type") or "supervised")

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """Those of the job."""
        method = self.job.get("method") or {}
        return (method.get(self.method) or {}).get("hyperparameters") or self.job.get("hyperparameters") or {}

    def conversation(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """A line of its files as turns up to the answer that is wanted, of two the preferred one; UserError with its first fault."""
        if self.method != "dpo":
            return conversation(row)
        found = preference(row)
        return [*found.turns, {"role": "assistant", "content": found.preferred}]

    def path(self, role: str) -> Path:
        """Where a file lies, or will."""
        return self.here.get(role) or self.folder.parent / "files" / f"{self.files[role]}.jsonl"

    def roles(self) -> list[str]:
        """Which files there are."""
        return [role for role in ("train", "validation") if role in self.here or role in self.files]

    def with_files(self, here: Mapping[str, Path]) -> Source:
        """With files of one's own in place of those at the service."""
        return replace(self, here={**self.here, **here})


def hosted_sources(service: Service, root: Path, wanted: Sequence[str] = ()) -> list[Source]:
    """The service's jobs, all or those wanted by id or by their model's name, and those fetched before that it lists no more.

    NotFound for one that is in neither place.
    """
    jobs = [job.model_dump(mode="json") for job in service.jobs()]
    kept = [read_json(path) for path in sorted(root.glob("*/job.json"))]
    jobs += [job for job in kept if job.get("id") and all(job["id"] != each["id"] for each in jobs)]
    if unknown := [name for name in wanted if not any(name in (job["id"], job["fine_tuned_model"]) for job in jobs)]:
        known = ", ".join(job["id"] for job in jobs[:10]) or "none"
        raise NotFound(f"no fine-tuning job is called {unknown[0]!r} at {service.address}", f"jobs there: {known}")
    return [_source(job, root) for job in jobs if not wanted or job["id"] in wanted or job["fine_tuned_model"] in wanted]


def local_source(root: Path, train: Path, validation: Path | None = None, *, name: str = "") -> Source:
    """Training files alone. name: what the hosted model was called, if it shall still be called so."""
    here = {"train": train, **({"validation": validation} if validation else {})}
    for path in here.values():
        if not path.is_file():
            raise UserError("no such file", "name the file with which the model was trained", where=str(path))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in here.values())).hexdigest()[:16]
    job = {"fine_tuned_model": name or None, "method": {"type": "dpo" if _holds_preferences(train) else "supervised"}}
    return Source(name or train.name, root / f"files-{digest}", job, here=here)


def _holds_preferences(path: Path) -> bool:
    try:
        return any(side in row for row in islice(read(path, "jsonl"), 1) for side in SIDES)
    except UserError:
        return False  # what is wrong with it is told when it is brought in


def fetch(service: Service, source: Source) -> None:
    """Keep a job's description and its files; what is here already isn't fetched. UserError for a file that was deleted."""
    source.folder.mkdir(parents=True, exist_ok=True)
    for role in source.roles():
        path = source.path(role)
        if path.exists():
            continue
        id_ = source.files[role]
        try:
            data = service.content(id_, service.file(id_).bytes)
        except NotFound:
            message = f"the {role} file {id_} of {source.name} was deleted at {service.address}"
            raise UserError(message, f"give your own copy: --{role} FILE") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(data)
    with atomic_write(source.folder / "job.json", "w") as file:
        json.dump(dict(source.job), file, indent=2, ensure_ascii=False)


def sizes(service: Service | None, source: Source) -> Iterator[dict[str, Any]]:
    """Each file: its role, name, bytes, and whether it is here; `missing` where it was deleted."""
    for role in source.roles():
        path = source.path(role)
        if path.exists():
            yield {"role": role, "file": source.files.get(role, path.name), "bytes": path.stat().st_size, "here": True}
            continue
        assert service is not None  # files of one's own are here
        try:
            known = service.file(source.files[role])
            yield {"role": role, "file": known.id, "name": known.filename, "bytes": known.bytes, "here": False}
        except NotFound:
            yield {"role": role, "file": source.files[role], "bytes": 0, "here": False, "missing": True}


def _source(job: Mapping[str, Any], root: Path) -> Source:
    ids = {"train": job.get("training_file"), "validation": job.get("validation_file")}
    files = {role: str(id_) for role, id_ in ids.items() if id_}
    return Source(job["id"], root / job["id"], job, files, why_not=_why_not(job, files))


def _why_not(job: Mapping[str, Any], files: Mapping[str, str]) -> str:
    method = Source("", Path(), job).method
    if job["status"] != "succeeded":
        return f"it is {job['status'].replace('_', ' ')}" if job["status"] != "failed" else "it failed"
    if method not in ("supervised", "dpo"):
        return f"it was trained by {method}, which can't be moved yet"
    return "" if "train" in files else "it names no training file"
