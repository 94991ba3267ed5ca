"""Names and contents of files are those that the tools make."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from testbed.exporting import Format, archive_name
from testbed.exporting.sosreport import mangled

if TYPE_CHECKING:
    from tests.unit.exporting.conftest import Exporter

SYSTEM = {
    *("nmcli-dev", "nmcli-con", "addresses", "routes", "arp", "iptables"),
    *("hosts", "resolv.conf", "modules", "sysctl", "version"),
}
OBJECTS = {
    *("nodes", "pods", "services", "endpoints", "clusternetwork"),
    *("hostsubnets", "netnamespaces"),
}
OF_A_NODE = {"flows", "ovs-show", "tc-qdisc", "tc-class", "tc-filter"}


def within(files: dict[str, str], folder: str) -> set[str]:
    """The names of the files in a folder, without those of its folders."""
    names = (path.removeprefix(folder) for path in files if path.startswith(folder))
    return {name for name in names if "/" not in name}


def test_debug_sh_has_the_files_of_the_script(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.DEBUG_SH)

    top = "openshift-sdn-debug/"
    script = SYSTEM | {"journal-full", "ifcfg"}
    assert within(files, top) == {"log"}
    assert within(files, f"{top}meta/") == {"nodeinfo", "podinfo", "serviceinfo"}
    assert within(files, f"{top}master/") == script | OBJECTS | {"aos_routes"}
    assert within(files, f"{top}nodes/oc-04.test/") == (
        script | OF_A_NODE | {"bridges", "docker-ps", "docker-unit-file"}
    )
    assert within(files, f"{top}nodes/oc-04.test/pods/rsyslog-0/") == {
        "addresses",
        "routes",
    }


def test_debug_sh_writes_the_command_above_what_it_printed(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.DEBUG_SH)

    node = "openshift-sdn-debug/nodes/oc-04.test"
    flows = files[f"{node}/flows"].splitlines()
    assert flows[:3] == [
        "> ovs-ofctl -O OpenFlow13 dump-flows br0",
        "",
        "OFPST_FLOW reply (OF1.3) (xid=0x2):",
    ]
    assert flows[3].startswith(" cookie=0x0, duration=3600.000s, table=0, n_packets=0")
    inside = files[f"{node}/pods/rsyslog-0/addresses"].splitlines()
    assert inside[0].startswith("> nsenter -n -t ")
    assert inside[0].endswith(" -- ip addr show")


def test_debug_sh_says_in_the_file_which_command_there_is_not(
    exporter: Exporter,
) -> None:
    files = exporter.files("four-node", Format.DEBUG_SH)

    text = files["openshift-sdn-debug/nodes/oc-04.test/nmcli-dev"]
    first, second, third = text.splitlines()
    assert first == "> nmcli --nocheck -f all dev show"
    assert second == ""
    assert third.endswith("debug.sh: line 21: nmcli: command not found")


def test_debug_sh_lists_pods_as_its_template_does(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.DEBUG_SH)

    lists = files["openshift-sdn-debug/meta/podinfo"].splitlines()
    (row,) = (line for line in lists if " rsyslog-0 " in line)
    *words, container = row.split(" ")
    assert words == [
        *("oc-04.test", "172.16.1.25", "rsyslog-0", "logging", "10.131.1.241"),
    ]
    # 21 characters, of which docker:// was cut off.
    assert len(container) == 12
    services = files["openshift-sdn-debug/meta/serviceinfo"].splitlines()
    assert "rsyslog logging 172.30.31.182 udp 514" in services


def test_network_check_has_the_files_of_the_diagnostic(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.NETWORK_CHECK)

    diagnostic = SYSTEM | {"journal-boot"}
    assert within(files, "openshift/master/") == diagnostic | OBJECTS
    assert within(files, "openshift/nodes/oc-04.test/") == (
        diagnostic | OF_A_NODE | {"docker-unit-file", "docker-network-file"}
    )
    assert not any("/pods/" in path for path in files)


def test_network_check_writes_output_alone_and_appends(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.NETWORK_CHECK)

    node = "openshift/nodes/oc-04.test"
    assert files[f"{node}/flows"].startswith("OFPST_FLOW reply")
    assert files[f"{node}/nmcli-dev"] == "sh: nmcli: command not found\n"
    kernel, _, objects = files["openshift/master/routes"].partition("apiVersion: v1\n")
    assert "default via 172.16.1.253 dev eth0" in kernel
    assert objects.startswith("items: []\n")


def test_a_sosreport_of_every_machine_has_the_files_of_the_plugins(
    exporter: Exporter,
) -> None:
    files = exporter.files("four-node", Format.SOS)

    node = "sosreport-oc-04.test-20190512094107"
    assert within(files, f"{node}/sos_commands/origin/") == {
        "ovs-ofctl_-O_OpenFlow13_dump-flows_br0",
        "ovs-ofctl_-O_OpenFlow13_dump-ports-desc_br0",
    }
    assert within(files, f"{node}/sos_commands/openvswitch/") == {
        "ovs-vsctl_-t_5_show",
        "ovs-dpctl_-s_show",
    }
    assert {"ip_-o_addr", "ip_route_show_table_all", "iptables-save"} <= within(
        files, f"{node}/sos_commands/networking/"
    )
    assert files[f"{node}/hostname"] == "oc-04.test\n"
    reports = {path.partition("/")[0] for path in files}
    assert len(reports) == 4


def test_the_masters_sosreport_alone_has_the_objects_as_json(
    exporter: Exporter,
) -> None:
    files = exporter.files("four-node", Format.SOS)

    kubeconfig = "oc_--config_.etc.origin.master.admin.kubeconfig"
    name = f"{kubeconfig}_get_-o_json_hostsubnet"
    (path,) = (path for path in files if path.endswith(name))
    assert path.startswith("sosreport-oc-01.test-")
    listed = json.loads(files[path])
    assert listed["kind"] == "List"
    assert [item["metadata"]["name"] for item in listed["items"]] == [
        *("oc-01.test", "oc-02.test", "oc-03.test", "oc-04.test"),
    ]


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (
            "ovs-ofctl -O OpenFlow13 dump-flows br0",
            "ovs-ofctl_-O_OpenFlow13_dump-flows_br0",
        ),
        ("/usr/sbin/ip -o addr", "ip_-o_addr"),
        (
            "oc get --all-namespaces=true pods",
            "oc_get_--all-namespaces_true_pods",
        ),
        ("ls -l /proc/net/", "ls_-l_.proc.net"),
    ],
)
def test_sos_names_files_after_commands(command: str, name: str) -> None:
    assert mangled(command) == name


@pytest.mark.parametrize("layout", list(Format))
def test_nothing_that_only_the_testbed_knows_is_in_an_export(
    layout: Format, exporter: Exporter
) -> None:
    files = exporter.files("four-node", layout)

    assert not any("testbed/" in text for text in files.values())
    assert not any("Underlay" in text for text in files.values())


def test_objects_are_printed_as_oc_prints_a_list(exporter: Exporter) -> None:
    files = exporter.files("four-node", Format.NETWORK_CHECK)

    listed = yaml.safe_load(files["openshift/master/pods"])
    assert listed["kind"] == "List"
    (pod,) = (p for p in listed["items"] if p["metadata"]["name"] == "rsyslog-0")
    assert pod["status"]["podIP"] == "10.131.1.241"
    assert pod["status"]["hostIP"] == "172.16.1.25"
    assert pod["status"]["containerStatuses"][0]["ready"] is True


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        (Format.DEBUG_SH, "openshift-sdn-debug-2019-05-12.tgz"),
        (Format.NETWORK_CHECK, "openshift-networkcheck-2019-05-12.tgz"),
        (Format.SOS, "sosreports-2019-05-12.tgz"),
    ],
)
def test_an_archive_is_called_after_its_tool_and_day(
    layout: Format, name: str, exporter: Exporter
) -> None:
    assert archive_name(exporter.collection("four-node"), layout) == name
