"""Tables in memory (a pandas or Polars DataFrame, an Arrow table, a `datasets` Dataset) as a file that every reader here knows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from preceptor.errors import MissingPackage, UserError

_HINT = "give a file's path, a pandas or Polars DataFrame, a pyarrow Table or a datasets.Dataset; dicts go to add_items"


@contextmanager
def as_file(source: Any) -> Iterator[Path]:
    """Yield the path of a file, or of a temporary Parquet file that holds a table in memory.

    The file is named after the table's type, since an import tells people, and whoever answered without a name, by its file. Of a
    Dataset the names of its classes come along. UserError for anything else, and for a table that Arrow can't hold.
    """
    if isinstance(source, str | os.PathLike):
        yield Path(source)
        return
    if isinstance(source, Mapping) and all(hasattr(split, "to_parquet") for split in source.values()):
        splits = ", ".join(map(str, source))
        raise UserError(f"the data set holds several splits: {splits}", f"read one of them, such as dataset[{next(iter(source), '')!r}]")
    with tempfile.TemporaryDirectory(prefix="preceptor-table-") as folder:
        path = Path(folder) / f"{type(source).__name__}.parquet"
        _write_parquet(source, path)
        yield path


def _write_parquet(source: Any, path: Path) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingPackage("reading tables in memory", "parquet") from None
    try:
        if hasattr(source, "to_parquet") and hasattr(source, "features"):  # a Dataset keeps the names of its classes in the file
            source.to_parquet(path)
        elif hasattr(source, "to_parquet") and hasattr(source, "columns"):
            pq.write_table(pa.Table.from_pandas(source, preserve_index=False), path)
        elif isinstance(source, pa.Table | pa.RecordBatch) or hasattr(source, "__arrow_c_stream__"):
            pq.write_table(pa.table(source) if not isinstance(source, pa.RecordBatch) else pa.Table.from_batches([source]), path)
        else:
            raise UserError(f"{type(source).__name__} is no table", _HINT)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"the {type(source).__name__} can't be read as a table: {reason}", "give each column one type") from error
