"""The tables and figures of the papers: files that describe them, and the code that computes and shows them."""
