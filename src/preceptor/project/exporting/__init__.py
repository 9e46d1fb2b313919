"""What a project holds, as rows and as files of any format."""

from preceptor.project.exporting.files import Exported, export_file
from preceptor.project.exporting.rows import rows

__all__ = ["Exported", "export_file", "rows"]
