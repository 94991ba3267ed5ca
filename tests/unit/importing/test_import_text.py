"""Text as it comes: terminals, Windows, logs, junk, and what tools put around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.errors import ImportRefusedError
from testbed.importing import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.unit.importing.conftest import Importer, Result


def all_is_there(result: Result) -> bool:
    """Whether the live node's flows were read whole, and agree."""
    (node,) = (node for node in result.imported.nodes if node.bridge)
    assert node.bridge is not None
    return node.bridge.facts.count == 65 and not any(node.deviations.values())


SPOILED: dict[str, Callable[[str], bytes]] = {
    "Windows' line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "Windows' UTF-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "big-endian UTF-16": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "a byte order mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "no line end at the end": lambda text: text.rstrip().encode(),
    "colours": lambda text: "".join(
        f"\x1b[01;31m\x1b[K{line}\x1b[m\x1b[K\n" for line in text.splitlines()
    ).encode(),
    "journald": lambda text: "".join(
        f"May 12 09:41:07 oc-04.test collect.sh[1234]:  {line}\n"
        for line in text.splitlines()
    ).encode(),
    "journald's precise time": lambda text: "".join(
        f"2019-05-12T09:41:07.123456+0200 oc-04.test sudo[9]: {line}\n"
        for line in text.splitlines()
    ).encode(),
    "a container's log": lambda text: "".join(
        f"2019-05-12T09:41:07.123456789Z stdout F {line}\n"
        for line in text.splitlines()
    ).encode(),
    "oc logs --timestamps": lambda text: "".join(
        f"2019-05-12T09:41:07.123456789Z {line}\n" for line in text.splitlines()
    ).encode(),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_flows_are_read_whatever_brought_them(
    spoil: Callable[[str], bytes], importer: Importer, live: str
) -> None:
    result = importer.text(spoil(live))

    assert all_is_there(result)


def test_a_log_names_its_machine(importer: Importer, live_lines: Sequence[str]) -> None:
    text = "".join(f"May 12 09:41:07 oc-04.test c[1]: {it}\n" for it in live_lines)

    result = importer.text(text)

    assert result.cluster.node("oc-04").name == "oc-04.test"


NOISE = [
    "Defaulting container name to openvswitch.",
    "Use 'oc describe pod/ovs-x7kp2 -n openshift-sdn' to see all of the containers.",
    "sudo: unable to resolve host oc-04",
    "[sudo] password for admin: ",
    "the input device is not a TTY",
    "2019-05-12T09:41:07Z|00001|ofctl|WARN|br0: using OpenFlow13",
    "Warning: Permanently added 'oc-04' (ECDSA) to the list of known hosts.",
    'time="2019-05-12T09:41:07Z" level=warning msg="runtime connect using default"',
    "ovs-ofctl: br-ex is not a bridge or a socket",
    "\t",
    "# 丢弃组播数据包",
    "```",
]


@pytest.mark.parametrize("noise", NOISE)
def test_what_other_tools_say_in_between_does_no_harm(
    noise: str, importer: Importer, live_lines: Sequence[str]
) -> None:
    text = "\n".join([noise, *live_lines[:20], noise, *live_lines[20:], noise])

    assert all_is_there(importer.text(text))


def test_bytes_that_are_no_utf_8_are_told_and_harm_no_other_line(
    importer: Importer, live: str
) -> None:
    result = importer.text(b"caf\xe9 \xff\n" + live.encode())

    (said,) = result.passed_over
    assert "is not all UTF-8" in said
    assert all_is_there(result)


def test_a_gigantic_line_is_left_out_by_its_number(
    importer: Importer, live: str
) -> None:
    result = importer.text(f"{live}cookie=0x0{'x' * (3 << 20)}\nthe end\n")

    (said,) = result.unread
    assert said.endswith("pasted.txt:66: a line too long is left out")
    assert all_is_there(result)


def test_a_gigantic_line_of_a_file_about_nothing_is_not_read_to_its_end(
    importer: Importer, live: str
) -> None:
    result = importer({"core.txt": "x" * (5 << 20), "oc-04/flows": live})

    assert "the rest is not read" in result.passed_over[-1]
    assert all_is_there(result)


def test_a_large_file_about_something_else_is_put_away_early(
    importer: Importer, live: str
) -> None:
    log = "nothing happened today either\n" * 20_000

    result = importer({"var/log/messages": log + live, "oc-04/flows": live})

    (said,) = result.passed_over
    assert said.endswith("nothing of a network begins it; the rest is not read")
    assert all_is_there(result)


def test_a_large_file_that_was_named_is_looked_through_to_its_end(
    importer: Importer, live: str
) -> None:
    log = "nothing happened today either\n" * 20_000

    assert all_is_there(importer.text(log + live))


def test_text_beyond_what_may_be_kept_is_left_out_by_name(
    importer: Importer, live: str
) -> None:
    path = importer.written({"a/flows": live, "b/flows": live.replace("1.25", "1.26")})

    result = importer.of(path, limits=Limits(kept=len(live) + 100))

    (said,) = result.unread
    assert "b/flows: is left out: more than" in said
    assert all_is_there(result)


def test_a_page_of_notes_is_one_more_input(importer: Importer, live: str) -> None:
    tables = {0: "who sent it", 20: "pods", 30: "who is it for"}
    lines = []
    for line in live.splitlines():
        table = int(line.partition("table=")[2].partition(",")[0])
        lines.append(f" # 表 {table}: {tables.get(table, 'more of it')}\n {line}\n")
    notes = NOTES.replace("FLOWS\n", "".join(lines))

    result = importer.text(notes, "sdn-notes.md")

    cluster = result.cluster
    assert [node.name for node in cluster.nodes] == [
        "oc-01.test",
        "oc-02.test",
        "oc-03.test",
        "oc-04.test",
    ]
    assert str(cluster.underlay.subnet) == "172.16.1.0/24"
    assert str(cluster.underlay.gateway) == "172.16.1.253"
    node = result.node("oc-04.test")
    assert not any(node.deviations.values())
    assert {str(text.kind) for _, text in node.texts} == {
        "routes",
        "iptables",
        "ports",
        "ovsdb",
    }
    assert result.contradictions == []


NOTES = """\
# How pods reach each other 笔记

The plugin is the simplest of the three:

$ oc get clusternetwork
NAME      CLUSTER NETWORKS   SERVICE NETWORK   PLUGIN NAME
default   10.128.0.0/14:9    172.30.0.0/16     redhat/openshift-ovs-subnet

$ oc get clusternetwork default -o yaml
apiVersion: network.openshift.io/v1
clusterNetworks:
- CIDR: 10.128.0.0/14
  hostSubnetLength: 9
hostsubnetlength: 9
kind: ClusterNetwork
metadata:
  name: default
network: 10.128.0.0/14
pluginName: redhat/openshift-ovs-subnet
serviceNetwork: 172.30.0.0/16
vxlanPort: 4789

每个节点有一个子网:

$ oc get hostsubnets
NAME                 HOST                 HOST IP       SUBNET          EGRESS IPS
oc-01.test   oc-01.test   172.16.1.15   10.128.0.0/23   []
oc-02.test   oc-02.test   172.16.1.16   10.129.0.0/23   []
oc-03.test   oc-03.test   172.16.1.22   10.130.0.0/23   []
oc-04.test   oc-04.test   172.16.1.25   10.131.0.0/23   []

There are no policies:

$ oc get networkpolicy --all-namespaces
No resources found.

$ ovs-vsctl show
6acf82ec-0000-0000-0000-000000000000
    Bridge "br0"
        fail_mode: secure
....
        Port "vxlan0"
            Interface "vxlan0"
                type: vxlan
                options: {dst_port="4789", key=flow, remote_ip=flow}

$ ovs-ofctl -O OpenFlow13 show br0
OFPT_FEATURES_REPLY (OF1.3) (xid=0x2): dpid:00003edba3c69f45
n_tables:254, n_buffers:0
OFPST_PORT_DESC reply (OF1.3) (xid=0x3):
 1(vxlan0): addr:96:1c:47:a4:9f:70
     config:     0
 2(tun0): addr:f6:f8:76:bb:7e:e9
     config:     0
....

Now the flows, with a word on each:

OFPST_FLOW reply (OF1.3) (xid=0x2): flags=[more]
FLOWS

And on the host:

$ ip route show
default via 172.16.1.253 dev eth0 proto dhcp metric 100
10.128.0.0/14 dev tun0 scope link
172.16.1.0/24 dev eth0 proto kernel scope link src 172.16.1.25 metric 100
$ iptables-save |grep tun0
-A FORWARD -i tun0 ! -o tun0 -m comment --comment "x" -j OPENSHIFT-ADMIN-OUTPUT-RULES
-A OPENSHIFT-FIREWALL-ALLOW -i tun0 -m comment --comment "from SDN" -j ACCEPT"""


def test_a_text_that_only_looks_like_yaml_or_json_is_nothing(
    importer: Importer,
) -> None:
    with pytest.raises(ImportRefusedError, match="nothing of a cluster"):
        importer.text(
            "{\n  server_name localhost;\n}\nkind: of blue\n[section]\na = b\n"
        )
