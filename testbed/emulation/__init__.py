"""The only code that imports Mininet: sandbox, underlay, nodes and pods."""
