"""Files into the project: plain tables, and rows with all that was said of an item; all of a file or nothing of it."""

from preceptor.project.importing.file import import_file
from preceptor.project.importing.report import ImportReport
from preceptor.project.importing.tables import Columns, ImportSettings

__all__ = ["Columns", "ImportReport", "ImportSettings", "import_file"]
