"""What a file format is to the rest of the system, and the door by which formats come in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from preceptor.errors import UserError
from preceptor.formats.source import Source
from preceptor.registry import Registry

Row = dict[str, Any]
"""One record: column names to JSON values (text, numbers, true, false, null, lists, dicts)."""


@dataclass(frozen=True)
class Target:
    """A file being written, in binary; `excel_safe` concerns formats that a spreadsheet opens by itself.

    folder: where a format that is a folder of files writes them; it has no `file`. on_fault: told of a row that the format can't
    hold, which is then left out; without it the fault is raised. suffix: how the file's name ends, for formats that can be laid out
    in several ways.
    """

    file: IO[bytes]
    excel_safe: bool = False
    folder: Path | None = None
    on_fault: Callable[[UserError], None] | None = None
    suffix: str = ""

    def fault(self, error: UserError) -> None:
        """Leave out a row, if there is somebody to tell; else raise."""
        if self.on_fault is None:
            raise error
        self.on_fault(error)


@dataclass(frozen=True)
class Format:
    """One file format.

    sniff: whether a file's first bytes are in it. certain: the sniff is proof, and overrules a file's extension.
    read: rows of a source, keeping `source.number`. write: rows to a target, returning how many.
    unit: what `source.number` counts. by_shape: recognised by the fields of its records, above the layout (lines, an array, a
    table) that it shares with others. grouped: a row is an item with all judgments about it, not one judgment. is_folder:
    whether a folder holds it, for a format that is read from a folder of files too. writes_folder: it is written as one.
    recognise: asked of a file that the sniff fits, where the first bytes alone can't tell.
    """

    name: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    read: Callable[[Source], Iterator[Row]]
    write: Callable[[Iterator[Mapping[str, Any]], Target], int]
    certain: bool = True
    unit: str = "line"
    by_shape: bool = False
    grouped: bool = False
    is_folder: Callable[[Path], bool] | None = None
    writes_folder: bool = False
    recognise: Callable[[Path], bool] | None = None

    @property
    def for_training(self) -> bool:
        """Whether its records are a trainer's: what is taught, not who judged."""
        return self.by_shape and not self.grouped


formats: Registry[Format] = Registry(
    "format",
    group="preceptor.formats",
    built_in={
        "alpaca": "preceptor.formats.training.alpaca",
        "argilla": "preceptor.formats.tools.argilla",
        "cleanlab": "preceptor.formats.tools.cleanlab",
        "crowdkit": "preceptor.formats.tools.crowdkit",
        "csv": "preceptor.formats.delimited",
        "doccano": "preceptor.formats.tools.doccano",
        "json": "preceptor.formats.json_array",
        "jsonl": "preceptor.formats.json_lines",
        "kiln": "preceptor.formats.tools.kiln",
        "kto": "preceptor.formats.training.kto",
        "label_studio": "preceptor.formats.tools.label_studio",
        "openai_chat": "preceptor.formats.training.openai_chat",
        "openai_preference": "preceptor.formats.training.openai_preference",
        "parquet": "preceptor.formats.parquet",
        "potato": "preceptor.formats.tools.potato",
        "prodigy": "preceptor.formats.tools.prodigy",
        "ragtruth": "preceptor.formats.training.ragtruth",
        "sharegpt": "preceptor.formats.training.sharegpt",
        "trl": "preceptor.formats.training.trl",
        "tsv": "preceptor.formats.delimited",
    },
)


def by_extension(suffix: str) -> Format | None:
    """The format that a file's extension names (".csv", any case), or None."""
    return next((known for known in map(formats.get, formats.names()) if suffix.lower() in known.extensions), None)
