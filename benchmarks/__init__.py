"""Measurements of a whole station against the bars of DESIGN.md, section 9."""
