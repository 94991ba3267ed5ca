"""Bugs of 3.11's data plane that a collection can show: data, and nothing else.

References are Bugzilla's (BZ), pull requests of openshift/origin (PR) and issues of
openshift-sdn or openshift/origin.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownBug:
    """One bug.

    Attributes:
        reference: how it is called: ``BZ1539187``.
        symptom: what people see.
        mechanism: what flows, rules or objects have to do with it.
        fix: what mends it.
        fixed_in: the release that has the fix; empty where 3.11 never got it.
    """

    reference: str
    symptom: str
    mechanism: str
    fix: str
    fixed_in: str = ""


_GA = "3.11"
_Z = "a later 3.11.z"
_RESTART = "restart the node's sdn pod, which sets br0 up anew"

_BUGS = (
    KnownBug(
        reference="BZ1419692",
        symptom="large UDP packets to services get lost under ovs-multitenant",
        mechanism="later fragments have no port, and table 60 no flow for them",
        fix="set-frags nx-match and a flow for nw_frag=later for each service",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1420032",
        symptom="addresses from 224.0.0.0 on are taken for multicast too widely",
        mechanism="224.0.0.0/3 instead of /4 in tables 0 and 30",
        fix="flows for 224.0.0.0/4",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1438762",
        symptom="packets with pods' addresses are seen outside the cluster",
        mechanism="conntrack does not translate INVALID packets, and FORWARD lets them",
        fix="the rule that drops INVALID in OPENSHIFT-FIREWALL-FORWARD",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1451854",
        symptom="a pod is unreachable for minutes after its address was used again",
        mechanism="random MACs of pods, and stale ARP entries of whoever knew the last",
        fix="MACs that follow from the address (0a:58 and its four bytes)",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1518684",
        symptom="what is sent to an address vanishes, though a new pod may have it",
        mechanism="flows of a pod that is gone stay in tables 20, 40 and 70",
        fix="teardown that does not need the veth",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="PR20670",
        symptom="br0 has ports that lead nowhere (could not open network device)",
        mechanism="ovs-vsctl add-port of a veth that is gone leaves its row in OVSDB",
        fix="del-port when add-port failed",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1564346",
        symptom="big packets get lost on a node without pods",
        mechanism="tun0's MTU drifts back to 1500",
        fix="mtu_request in OVSDB",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="PR19273",
        symptom="nodes cannot talk after two of them exchanged addresses",
        mechanism="flows are deleted by tun_src, and take the other node's along",
        fix="cookies by HostSubnet",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1552869",
        symptom="packets with an egress IP are masqueraded to the node's address",
        mechanism="kubelet and kube-proxy do not agree on the mark (0x1, 0x4000)",
        fix="the same masquerade bit for both, 0",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1458849",
        symptom="DNS fails where an EgressNetworkPolicy denies all",
        mechanism="table 100 lacks the flows for port 53 of the node",
        fix="flows of priority 200 in table 100",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1501855",
        symptom="administrators' FORWARD rules have no effect",
        mechanism="the SDN's chains are jumped to in another order",
        fix="OPENSHIFT-ADMIN-OUTPUT-RULES before OPENSHIFT-FIREWALL-FORWARD",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1643965",
        symptom="a pod can inject packets into other projects",
        mechanism="pods may send VXLAN to nodes: table 100 does not drop UDP 4789",
        fix="a flow of priority 300 in table 100 (PR21363, PR21377)",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1653380",
        symptom="egress IPs stop working after a reload of firewalld",
        mechanism="rules SNAT and REJECT are not added again",
        fix="egress IPs' rules are synced, too (PR21549)",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1686025",
        symptom="a new project behaves as one that was deleted",
        mechanism="table 80 keeps the flows of a VNID that is nobody's",
        fix="flows of deleted namespaces are removed (PR22443)",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1694704",
        symptom="NetworkPolicies are not updated after the SDN restarted",
        mechanism="the SDN forgets which namespaces are in use on the node",
        fix="PR22443",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1723924",
        symptom="hostports and multicast break after the SDN restarted",
        mechanism="running pods are not known: KUBE-HOSTPORTS is wiped, table 120 "
        "short",
        fix="PR23522",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1765220",
        symptom="pods stay without network after a restart of the SDN",
        mechanism="table 253 says that br0 is complete before it is",
        fix="the note is written last, pods are attached again (PR24585)",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="openshift/origin#21723",
        symptom="all pods of a node are dead after Open vSwitch restarted",
        mechanism="flows are in memory only: ports come back, flows do not",
        fix=_RESTART,
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1762235",
        symptom="two nodes answer ARP for one egress IP",
        mechanism="an egress IP that moved while the SDN was down is not removed",
        fix="PR24161; by hand: ip addr del, and the rule SNAT",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1816394",
        symptom="a new pod is not covered by a second NetworkPolicy",
        mechanism="the loop over policies ends at the first that changed",
        fix="delete the policy and create it again, or update",
        fixed_in=_Z,
    ),
    KnownBug(
        reference="BZ1813846",
        symptom="a new pod is not isolated by a NetworkPolicy that denies all to it",
        mechanism="flows are compared, not which pods they isolate",
        fix="delete the policy and create it again (oc replace --force)",
    ),
    KnownBug(
        reference="BZ1905761",
        symptom="changes of NetworkPolicies of a namespace have no effect any more",
        mechanism="a policy about egress only makes a flow that OVS refuses (nw_dst=)",
        fix="give the policy policyTypes with Ingress, or delete it",
    ),
    KnownBug(
        reference="BZ1768926",
        symptom="a NetworkPolicy denies all to its whole namespace",
        mechanism="a port by name, or none, makes the whole policy a deny-all",
        fix="give ports by number",
    ),
    KnownBug(
        reference="BZ1790440",
        symptom="changes in a namespace that denied all are ignored after a restart",
        mechanism="no flow has its VNID, so the node takes it as not in use",
        fix="start a pod of the namespace on the node",
    ),
    KnownBug(
        reference="BZ1825355",
        symptom="NetworkPolicies of a new namespace are not enforced, or deny all",
        mechanism="the VNID was looked up without telling the policies",
        fix="restart the node's sdn pod",
    ),
    KnownBug(
        reference="BZ1928851",
        symptom="NetworkPolicies of one namespace hold for another",
        mechanism="two namespaces have one VNID, of which ovs-networkpolicy knows one",
        fix="give each NetNamespace a netid of its own",
    ),
    KnownBug(
        reference="BZ1892376",
        symptom="pods of a project that was made again do not start",
        mechanism="the namespace has no NetNamespace",
        fix="restart the master's controllers, or create the NetNamespace",
    ),
    KnownBug(
        reference="BZ1445694",
        symptom="a pod is in its old project's network after join or isolate",
        mechanism="the update of the pod failed: tables 20 and 70 have the old VNID",
        fix="delete the pod",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1275953",
        symptom="pods of project default cannot use others' services",
        mechanism="table 60 lacks the flow for reg0=0",
        fix=_RESTART,
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1395183",
        symptom="pods have one address twice, or none is left",
        mechanism="host-local's files in /var/lib/cni/networks leaked or were lost",
        fix="delete one of the pods; compare the files with the running pods",
    ),
    KnownBug(
        reference="BZ1295486",
        symptom="a node hangs",
        mechanism="its address is within the cluster network: VXLAN goes into VXLAN",
        fix="another address, or another cluster network",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1607395",
        symptom="one node cannot talk to the others after it got another address",
        mechanism="HostSubnet, or peers' tables 10, 50 and 90, have the old address",
        fix="correct hostIP of the HostSubnet, or delete it and restart the node",
    ),
    KnownBug(
        reference="BZ1462842",
        symptom="nodes cannot talk at all",
        mechanism="nodes use different VXLAN ports, or another overlay eats 4789",
        fix="the same vxlanPort everywhere, iptables included",
    ),
    KnownBug(
        reference="openshift/origin#14713",
        symptom="pods on different nodes cannot talk",
        mechanism="UDP 4789 is blocked between the nodes",
        fix="open it in security groups and iptables",
    ),
    KnownBug(
        reference="BZ1449058",
        symptom="multicast is still delivered after it was disabled",
        mechanism="flows of tables 110 and 120 stay",
        fix=_RESTART,
        fixed_in=_GA,
    ),
    KnownBug(
        reference="PR13768",
        symptom="no multicast between pods of a node that has no peers",
        mechanism="table 111 has no flow that goes on to table 120",
        fix=_RESTART,
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1540846",
        symptom="egress IPs are not updated, or packets have no MAC",
        mechanism="table 100 has the flows of an earlier assignment",
        fix="remove the egress IP from HostSubnet and NetNamespace, and add it again",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="openshift/origin#12038",
        symptom="nothing leaves the cluster from joined projects",
        mechanism="an EgressNetworkPolicy on a shared VNID drops everything",
        fix="one EgressNetworkPolicy at most, and no shared VNID; it is so by design",
    ),
    KnownBug(
        reference="BZ1477716",
        symptom="nothing gets from pods out of their node",
        mechanism="net.ipv4.ip_forward is 0",
        fix="sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d",
        fixed_in=_GA,
    ),
    KnownBug(
        reference="BZ1985336",
        symptom="connections fail at random on busy nodes",
        mechanism="conntrack is full: VXLAN's own packets are tracked, too",
        fix="raise net.netfilter.nf_conntrack_max",
    ),
    KnownBug(
        reference="openshift/origin#19597",
        symptom="a service is unreachable, or leads to pods that are gone",
        mechanism="kube-proxy has old rules, as when a node cannot reach the API",
        fix="see why the node's sdn pod does not reach the API; restart it",
    ),
    KnownBug(
        reference="openshift/sdn#b05f33c87",
        symptom="traffic is broken after an update",
        mechanism="flows changed, their version did not, and old ones stayed",
        fix=_RESTART,
    ),
)

BUGS = {bug.reference: bug for bug in _BUGS}
"""All of them by reference."""
