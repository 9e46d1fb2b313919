"""Personal data in a training set: found by forms, check digits and the words around them; masked so that rows still hang together."""

from preceptor.curation.personal.find import DEFAULT_KINDS, find
from preceptor.curation.personal.finding import Finding
from preceptor.curation.personal.kinds import KINDS, Kind
from preceptor.curation.personal.mask import mask, new_key, placeholder

__all__ = ["DEFAULT_KINDS", "KINDS", "Finding", "Kind", "find", "mask", "new_key", "placeholder"]
