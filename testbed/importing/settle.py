"""From objects to a topology that the testbed takes: what cannot be is left out.

Customers' objects come from different minutes and different lists; some may contradict
each other. Whatever the testbed would refuse is taken out object by object, each with
the reason, until the rest is a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from testbed.errors import ImportRefusedError, TopologyError
from testbed.importing.readers.api import NODE
from testbed.importing.remarks import Sort
from testbed.topology.assemble import assemble
from testbed.topology.document import Node, Scalar
from testbed.topology.objects import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.importing.case import Case, Made
    from testbed.importing.remarks import Remark
    from testbed.topology import Topology
    from testbed.topology.problem import Problem

_ORDER = (
    "ClusterNetwork",
    "Underlay",
    "HostSubnet",
    "NetNamespace",
    "Namespace",
    "Project",
    "EgressNetworkPolicy",
    "NetworkPolicy",
    "Service",
    "Endpoints",
    "Pod",
)
_INDISPENSABLE = ("ClusterNetwork",)
_ROUNDS = 20


def settle(case: Case) -> tuple[Topology, tuple[Made, ...]]:
    """The topology, and the objects that it has.

    Raises:
        ImportRefusedError: there are no nodes, or no cluster comes of what there is.
    """
    made = [item for item in case.made.values() if item.kind != NODE]
    made.sort(key=lambda item: _ORDER.index(item.kind))
    if not any(item.kind == "HostSubnet" for item in made):
        raise _refused(
            "nothing says which nodes there are; needed are HostSubnets "
            "(oc get hostsubnets -o yaml) or a node's flows "
            "(ovs-ofctl -O OpenFlow13 dump-flows br0)",
            case.remarks,
        )
    for _ in range(_ROUNDS):
        problems: list[Problem] = []
        try:
            topology = assemble(_sources(made), "", problems)
        except TopologyError:
            blamed = {problem.line - 1: problem for problem in reversed(problems)}
            made = _without(made, blamed, case)
        else:
            _tell_of_warnings(topology, made, case)
            return topology, tuple(made)
    raise _refused("its objects contradict each other", case.remarks)


def _refused(text: str, remarks: Sequence[Remark]) -> ImportRefusedError:
    worst = [
        remark
        for remark in remarks
        if remark.sort in (Sort.CONTRADICTORY, Sort.MISSING, Sort.UNREAD)
    ]
    said = "".join(f"\n{remark.sort}: {remark}" for remark in worst[:20])
    return ImportRefusedError(f"no topology can be made: {text}{said}")


def _sources(made: Sequence[Made]) -> list[Source]:
    """The objects as the topology reads them; each object's number is its line."""
    return [
        Source(item.kind, item.key, _node(item.values, number), "")
        for number, item in enumerate(made, 1)
    ]


def _node(value: object, line: int) -> Node:
    match value:
        case dict():
            return Node(line, {str(k): _node(v, line) for k, v in value.items()})
        case list():
            return Node(line, [_node(item, line) for item in value])
    return Node(line, cast("Scalar", value))


def _without(
    made: Sequence[Made], blamed: dict[int, Problem], case: Case
) -> list[Made]:
    """The objects that nothing is wrong with."""
    kept = []
    for number, item in enumerate(made):
        problem = blamed.get(number)
        if problem is None:
            kept.append(item)
            continue
        text = problem.text.removeprefix(f"{item}: ")
        if item.kind in _INDISPENSABLE:
            where = f" ({item.places[0]})" if item.places else ""
            raise _refused(f"{item}: {text}{where}", case.remarks)
        case.tell(
            Sort.CONTRADICTORY, str(item), f"is left out: {text}", *item.places[:1]
        )
    if len(kept) == len(made):
        text = "; ".join(problem.text for problem in blamed.values())
        raise _refused(text, case.remarks)
    return kept


def _tell_of_warnings(topology: Topology, made: Sequence[Made], case: Case) -> None:
    """Pass on what 3.11 takes otherwise than it was meant, with the true places."""
    for warning in topology.warnings:
        number, _, text = warning.removeprefix(":").partition(": ")
        if number.isdecimal() and 0 < int(number) <= len(made):
            item = made[int(number) - 1]
            text = text.removeprefix(f"{item}: ")
            case.tell(Sort.FOUND, str(item), f"note: {text}", *item.places[:1])
