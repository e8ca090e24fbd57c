"""How a graph is laid out on paper: sizes, places and lines, without any drawing language."""
