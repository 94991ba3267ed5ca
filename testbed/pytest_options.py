"""The options that the pytest plugin adds."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def add_options(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    group = parser.getgroup("testbed", "OpenShift SDN testbed")
    group.addoption(
        "--topology",
        metavar="FILE",
        help="the cluster to build (default: four-node.yaml, and for scenarios that "
        "say which plugins they are about, the shipped one of each)",
    )
    group.addoption(
        "--replay",
        metavar="DIR",
        help="the cluster to build is what `testbed import` wrote to DIR, with the "
        "flows and iptables that were collected",
    )
    group.addoption(
        "--datapath",
        choices=["system", "netdev"],
        help="insist on the kernel's datapath or the userspace one",
    )
    group.addoption(
        "--captures",
        metavar="DIR",
        default="captures",
        help="where the packets of failed scenarios are kept (default: %(default)s)",
    )
    group.addoption(
        "--keep-captures",
        action="store_true",
        help="keep the packets of all scenarios",
    )
    group.addoption(
        "--report",
        metavar="DIR",
        help="make a page of the run, DIR/index.html: each scenario, and where its "
        "packets went",
    )
    group.addoption("--in-sandbox", action="store_true", help=argparse.SUPPRESS)
    group.addoption("--mutation-worker", metavar="PLUGIN", help=argparse.SUPPRESS)
    group.addoption(
        "--prove-red",
        action="store_true",
        help="after each scenario, delete the flows it hits and see it fail",
    )
    group.addoption(
        "--flow-coverage",
        action="store_true",
        help="print which kinds of flows the scenarios hit, and which none does",
    )
    group.addoption(
        "--flow-coverage-report",
        metavar="DIR",
        help="write it, flow by flow, to DIR/index.html and DIR/coverage.json",
    )
    group.addoption(
        "--flow-coverage-fail-under",
        metavar="PERCENT",
        type=float,
        help="fail if fewer kinds of flows were hit",
    )
