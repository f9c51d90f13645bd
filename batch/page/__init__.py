"""The report of a job as one page: gathered from the store, drawn as SVG, written as HTML that loads nothing."""
