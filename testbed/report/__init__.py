"""What a run leaves behind: a page that shows each scenario and its packets' paths.

``items`` takes the evidence of a scenario while its cluster is there; ``records`` make
plain data of it, which also pass from pytest-xdist's workers to their controller;
``diagram`` and ``paths`` draw; ``page`` puts all into one file; ``plugin`` is what
pytest calls.
"""
