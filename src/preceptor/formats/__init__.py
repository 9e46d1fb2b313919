"""Other people's files as rows, and rows as files; streaming, one format a module.

A row is a dict of JSON values. `read` recognises a file and yields its rows, knowing at each the place
it came from; `write` makes a file appear whole or not at all. Everything wrong with a file is a
UserError that says where it is and what to do.
"""

from preceptor.formats.atomic import atomic_write
from preceptor.formats.format import Format, Row, Target, formats
from preceptor.formats.reading import Rows, read
from preceptor.formats.source import Source
from preceptor.formats.writing import write

__all__ = ["Format", "Row", "Rows", "Source", "Target", "atomic_write", "formats", "read", "write"]
