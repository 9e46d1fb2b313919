"""Other people's files as rows, and rows as files; streaming, one format a module.

A row is a dict of JSON values. `read` recognises a file and yields its rows, knowing at each the place
it came from; `write` makes a file appear whole or not at all. Everything wrong with a file is a
UserError that says where it is and what to do.
"""

from __future__ import annotations

from preceptor.formats.durable_files import atomic_write
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.reader import FormatReader, read
from preceptor.formats.writer import write

__all__ = ["FileFormat", "FileRow", "FormatReader", "FormatSource", "FormatTarget", "atomic_write", "formats", "read", "write"]
