"""Erasing: what must not be kept any longer, taken out of everything here, and shown to be."""

from preceptor.project.erasing.erasing import erase_document, erase_items

__all__ = ["erase_document", "erase_items"]
