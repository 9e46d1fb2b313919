"""Find personal data in a training set by patterns, check digits and context words, and mask it so that equal values stay equal."""

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
