"""What an evaluation prints: figures with intervals, Markdown, charts and the HTML page."""
