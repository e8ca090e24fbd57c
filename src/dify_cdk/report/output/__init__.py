"""How compare and plan are shown: terminal, Markdown, HTML and JSON."""
