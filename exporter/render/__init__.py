"""One assessment in; text, JSON, JUnit, Markdown and HTML out."""
