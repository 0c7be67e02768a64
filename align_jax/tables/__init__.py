"""Tables: what one is (`table`), and how it is written (`terminal`, `markdown`, `latex`, `csv_text`, `html`)."""
