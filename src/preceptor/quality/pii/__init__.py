"""Personal data in a training set: found by forms, check digits and the words around them; masked so that rows still hang together."""

from __future__ import annotations

from preceptor.quality.pii.detection import (
    DEFAULT_PII_KINDS,
    PII_KINDS,
    PiiFinding,
    PiiKind,
    find_pii,
    mask_pii,
    new_mask_key,
    pii_placeholder,
)

__all__ = ["DEFAULT_PII_KINDS", "PII_KINDS", "PiiFinding", "PiiKind", "find_pii", "mask_pii", "new_mask_key", "pii_placeholder"]
