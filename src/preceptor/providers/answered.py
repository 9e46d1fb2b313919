"""A file of answers that were paid for: each is noted before it is asked for and kept as soon as it is there, through any kill."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.atomic import full_disk_in_words, sync_folder
from preceptor.formats.checksums import sealed_json, unsealed_json
from preceptor.providers.service import Answer


class Answered:
    """Answers by key. `pending` holds the keys that were asked for and not answered: by a process that was killed, or just now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._found: dict[str, Answer] = {}
        self.pending: dict[str, None] = {}
        self.models: dict[str, str] = {}
        self._lock = threading.Lock()
        with full_disk_in_words(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            sync_folder(path.parent)
        self._read()

    def __len__(self) -> int:
        return len(self._found)

    def __getitem__(self, key: str) -> Answer:
        return self._found[key]

    def get(self, key: str) -> Answer | None:
        """The answer under a key, if it is there."""
        return self._found.get(key)

    def items(self) -> list[tuple[str, Answer]]:
        """Each (model, answer)."""
        return [(self.models[key], answer) for key, answer in self._found.items()]

    def begin(self, key: str, model: str) -> None:
        """Note that an answer is about to be asked for."""
        self._write({"key": key, "model": model})

    def keep(self, key: str, model: str, answer: Answer) -> None:
        """Keep an answer: on the disk when this returns."""
        self._write({"key": key, "model": model, "answer": asdict(answer)})

    def _write(self, line: Mapping[str, Any]) -> None:
        data = sealed_json(line) + b"\n"
        with self._lock, full_disk_in_words(self.path):
            with self.path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._note(line)

    def _read(self) -> None:
        """What stands there; a line that a kill cut off is taken away."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            os.truncate(self.path, whole)
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                self._note(unsealed_json(line))
            except (ValueError, TypeError, KeyError):
                raise UserError(
                    "the line isn't ours", "restore the file: it holds what was paid for", where=f"{self.path}:{number}"
                ) from None

    def _note(self, line: Mapping[str, Any]) -> None:
        key = line["key"]
        self.models[key] = line["model"]
        if "answer" in line:
            self._found[key] = Answer(**line["answer"])
            self.pending.pop(key, None)
        else:
            self.pending[key] = None
