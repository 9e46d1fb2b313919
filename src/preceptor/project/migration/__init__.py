"""From a hosted fine-tuned model to one of one's own: fetched, taught, trained, weighed against the old one, shown to people.

Everything stays in the project's `migration/` as soon as it is there, so that the same command goes on where it was stopped.
"""

from preceptor.project.migration.moving import Moved, Wishes, move
from preceptor.project.migration.plan import plan
from preceptor.project.migration.sources import Source, hosted_sources, local_source

__all__ = ["Moved", "Source", "Wishes", "hosted_sources", "local_source", "move", "plan"]
