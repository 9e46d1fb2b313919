"""Read foreign files as rows and write rows as files, streaming; one module per format.

A row is a dict of JSON values. `read` recognises a file and yields its rows, and knows for each the place it came from; `write` makes a
file appear whole or not at all. Every fault of a file is a UserError that says where it is and what to do.
"""

from __future__ import annotations

from preceptor.formats.durable_files import atomic_write
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.reader import FormatReader, read
from preceptor.formats.writer import write

__all__ = ["FileFormat", "FileRow", "FormatReader", "FormatSource", "FormatTarget", "atomic_write", "formats", "read", "write"]
