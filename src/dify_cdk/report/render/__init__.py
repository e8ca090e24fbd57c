"""Comparisons as text: a table for a terminal, Markdown for a page, JSON for programs.

Sections are grids of text that :mod:`.table` and :mod:`.markdown` draw in their own way; the JSON document is
described in :mod:`.document`.
"""
