"""Check answers against a policy: forbidden terms, patterns, disclaimers, jurisdictions and refusals."""

from __future__ import annotations
