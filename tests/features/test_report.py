"""The report of a run, in the browser that a person reads it with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from selenium.webdriver.remote.webelement import WebElement

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.emulation,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs the packages chromium, chromium-driver"
    ),
]

SCENARIOS = '''
"""Small things that pods do."""

import pytest
from scapy.layers.inet import IP, UDP
from testbed.openflow import Table
from testbed.probe import ip_between


@pytest.fixture
def pods(cluster):
    return cluster.pods_on(cluster.nodes[0])[0], cluster.pods_on(cluster.nodes[-1])[0]


def test_a_pod_reaches_a_pod_of_another_node(cluster, pods):
    """Through VXLAN, <b>whatever</b> that is."""
    sender, receiver = pods
    packet = ip_between(sender, receiver) / UDP(sport=40009, dport=9)
    cluster.send(sender, packet).arrives(receiver)


def test_a_forged_source_is_dropped(cluster, pods):
    sender, receiver = pods
    packet = ip_between(sender, receiver) / UDP(sport=40009, dport=9)
    packet[IP].src = "192.0.2.7"
    cluster.send(sender, packet).is_dropped(sender.node, Table.FROM_POD)


def test_a_kernel_pings(cluster, pods):
    sender, receiver = pods
    sender.run("ping", "-c1", "-q", str(receiver.ip))


@pytest.mark.parametrize("colour", ["red"])
def test_what_is_not_so(cluster, pods, colour):
    sender, _ = pods
    packet = ip_between(sender, cluster.external) / UDP(sport=40009, dport=9)
    cluster.send(sender, packet).is_dropped(sender.node, Table.FROM_POD)


@pytest.mark.skip(reason="not today")
def test_what_is_not_tried(cluster):
    pass
'''


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    profile = tmp_path_factory.mktemp("profile")
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1400,1000",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=str(DRIVER))
    with webdriver.Chrome(options=options, service=service) as driver:
        yield driver


@pytest.fixture(scope="module", params=[(), ("-n", "2")], ids=["alone", "xdist"])
def report(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory of a run's report; once in one process, once by two workers."""
    directory = tmp_path_factory.mktemp("run")
    (directory / "test_pods.py").write_text(SCENARIOS)
    options = ("--report", "report", "--flow-coverage-report", "coverage")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider"),
            *(*options, "--keep-captures", *request.param),
        ],
        cwd=directory,
        env={key: os.environ[key] for key in os.environ if "PYTEST" not in key},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    summary = done.stdout.splitlines()[-1]
    assert "1 failed, 3 passed, 1 skipped in" in summary, done.stdout + done.stderr
    assert "report/index.html" in done.stdout
    return directory


@pytest.fixture
def page(browser: webdriver.Chrome, report: Path) -> Iterator[webdriver.Chrome]:
    """The report, just opened; nothing may go wrong in it."""
    browser.get("about:blank")
    browser.get((report / "report" / "index.html").as_uri())
    yield browser
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def scenario(page: webdriver.Chrome, title: str) -> WebElement:
    """A scenario by its title; opened, if it is not."""
    found = next(
        item
        for item in page.find_elements(By.CSS_SELECTOR, ".run")
        if title in (item.get_attribute("textContent") or "")
    )
    if not found.get_attribute("open"):
        found.find_element(By.TAG_NAME, "summary").click()
        WebDriverWait(page, 10).until(
            lambda _: (
                found.find_elements(By.CSS_SELECTOR, ".stage.open")
                or not found.find_elements(By.CSS_SELECTOR, ".stage")
            )
        )
    return found


def texts(element: WebElement | webdriver.Chrome, selector: str) -> list[str]:
    return [
        " ".join((found.get_attribute("textContent") or "").split())
        for found in element.find_elements(By.CSS_SELECTOR, selector)
    ]


def shown(page: webdriver.Chrome) -> list[str]:
    return [
        item.find_element(By.CSS_SELECTOR, ".title").text
        for item in page.find_elements(By.CSS_SELECTOR, ".run")
        if item.is_displayed()
    ]


def test_it_says_how_the_run_ended_and_what_it_was_made_with(
    page: webdriver.Chrome,
) -> None:
    assert page.find_element(By.TAG_NAME, "h1").text == "1 failed, 3 passed, 1 skipped"
    rows = page.find_elements(By.CSS_SELECTOR, ".summary tbody tr")
    assert [texts(row, "td")[:-1] for row in rows] == [
        ["subnet", "1", "0", "3", "0"],
        ["none", "0", "0", "0", "1"],
    ]
    facts = " ".join(texts(page, "dl.facts"))
    assert "four-node.yaml" in facts
    assert "Open vSwitch" in facts
    assert "kinds of flows hit" in facts


def test_the_way_of_a_packet_is_drawn_from_sender_to_receiver(
    page: webdriver.Chrome,
) -> None:
    found = scenario(page, "A pod reaches a pod of another node")

    hops = found.find_elements(By.CSS_SELECTOR, ".picture path.hop")
    seen = texts(found, ".seen li")
    assert len(hops) == len(seen) >= 4
    assert all(hop.get_attribute("d") for hop in hops)
    assert all(hop.size["width"] + hop.size["height"] > 0 for hop in hops)
    assert "default/docker-registry-1-7xk2p sends" in seen[0]
    assert "into VXLAN 172.16.1.15 > 172.16.1.25 VNID 0" in seen[1]
    assert "logging/rsyslog-0 gets" in seen[3]
    assert "out of VXLAN" in seen[3]
    use = found.find_element(By.CSS_SELECTOR, ".picture use")
    assert use.size["width"] > 300
    assert use.size["height"] > 100


def test_a_drop_is_marked_where_it_happened_and_controls_can_be_chosen(
    page: webdriver.Chrome,
) -> None:
    found = scenario(page, "A forged source is dropped")

    assert texts(found, ".picture .death text") == ["dropped in table 20"]
    assert "packet 1 is dropped on oc-01.test" in texts(found, ".said li")[0]
    assert texts(found, "tr.drops td:nth-child(2)") == ["20 FROM_POD"]
    first, control, *_ = found.find_elements(By.CSS_SELECTOR, ".packets label")
    assert "positive control" in control.text
    control.click()
    assert texts(found, ".picture .death text") == []
    assert "oc-01.test tun0 gets" in texts(found, ".seen li")[1]
    first.click()
    assert texts(found, ".picture .death text") == ["dropped in table 20"]


def test_what_a_kernel_sent_is_drawn_there_and_back(page: webdriver.Chrome) -> None:
    found = scenario(page, "A kernel pings")

    packets = texts(found, ".packets label")
    assert any("echo request" in packet for packet in packets)
    assert any("echo reply" in packet for packet in packets)
    assert found.find_elements(By.CSS_SELECTOR, ".picture path.hop")


def test_a_failure_is_told_with_its_story_and_capture(
    page: webdriver.Chrome, report: Path
) -> None:
    found = scenario(page, "What is not so")

    assert "colour=red" in found.text
    assert "expected to be dropped on oc-01.test" in texts(found, ".why")[0]
    assert "AssertionError" in texts(found, ".failure")[0]
    assert "sent:" in texts(found, ".section pre")[0]
    capture = found.find_element(By.LINK_TEXT, "capture of all taps")
    name = (capture.get_attribute("href") or "").rpartition("/")[2]
    assert (report / "captures" / name).exists()
    assert capture.get_attribute("href") == (report / "captures" / name).as_uri()


def test_scenarios_are_filtered_by_text_and_by_state(page: webdriver.Chrome) -> None:
    assert len(shown(page)) == 5
    search = page.find_element(By.ID, "search")

    search.send_keys("forged")
    assert shown(page) == ["A forged source is dropped"]
    assert page.find_element(By.ID, "shown").text == "1 of 5 scenarios"

    search.clear()
    search.send_keys(" ")
    page.find_element(By.CSS_SELECTOR, "[name=state][value=passed]").click()
    assert shown(page) == ["What is not so colour=red", "What is not tried"]


def test_it_can_be_read_with_the_keyboard_alone(page: webdriver.Chrome) -> None:
    page.find_element(By.TAG_NAME, "body").send_keys("/forged")
    assert shown(page) == ["A forged source is dropped"]

    found = page.find_element(By.CSS_SELECTOR, ".run:not([hidden])")
    found.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    WebDriverWait(page, 10).until(
        lambda _: found.find_elements(By.CSS_SELECTOR, ".stage.open")
    )
    first = found.find_element(By.CSS_SELECTOR, ".packets input")
    first.send_keys(Keys.ARROW_DOWN)

    chosen = found.find_elements(By.CSS_SELECTOR, ".packets input")[1]
    assert chosen.is_selected()
    assert "oc-01.test tun0 gets" in texts(found, ".seen li")[1]


def test_a_link_opens_its_scenario(page: webdriver.Chrome) -> None:
    found = scenario(page, "A kernel pings")
    link = found.find_element(By.LINK_TEXT, "link to this scenario")
    url = str(link.get_attribute("href"))

    page.get("about:blank")
    page.get(url)

    opened = page.find_element(By.CSS_SELECTOR, ".run[open]")
    assert "A kernel pings" in opened.text
    assert opened.find_elements(By.CSS_SELECTOR, ".picture path.hop")


def test_light_and_dark_are_the_readers_choice(page: webdriver.Chrome) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        body = page.find_element(By.TAG_NAME, "body")
        colours.add(body.value_of_css_property("background-color"))

    assert len(colours) == 2


def test_without_javascript_there_is_as_much_to_read(
    browser: webdriver.Chrome, report: Path
) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get("about:blank")
        browser.get((report / "report" / "index.html").as_uri())
        text = browser.find_element(By.TAG_NAME, "body").text
        for summary in browser.find_elements(By.TAG_NAME, "summary")[:2]:
            summary.click()
        opened = browser.find_element(By.CSS_SELECTOR, ".run[open]").text
    finally:
        browser.execute_cdp_cmd(
            "Emulation.setScriptExecutionDisabled", {"value": False}
        )

    assert "1 failed, 3 passed, 1 skipped" in text
    assert "Drawings, sightings and flows need JavaScript." in text
    assert "Through VXLAN, <b>whatever</b> that is." in opened
    assert "packet 1 arrives at logging/rsyslog-0" in opened
    assert "UDP 10.128.0.4:40009 > 10.131.1.241:9" in opened


def test_flow_coverage_is_read_table_by_table(
    browser: webdriver.Chrome, report: Path
) -> None:
    browser.get((report / "coverage" / "index.html").as_uri())

    assert "kinds of flows hit" in browser.find_element(By.TAG_NAME, "h1").text
    browser.find_element(By.ID, "search").send_keys("from_pod nw_src")
    (kind,) = (
        found
        for found in browser.find_elements(By.CSS_SELECTOR, ".kind")
        if found.is_displayed()
    )
    assert kind.get_attribute("data-state") == "partly"
    kind.find_element(By.TAG_NAME, "summary").click()
    button = WebDriverWait(browser, 10).until(
        lambda _: kind.find_element(By.TAG_NAME, "button")
    )
    button.click()
    (names,) = texts(kind, ".names")
    assert "test_pods.py::test_a_pod_reaches_a_pod_of_another_node (1)" in names
    assert kind.find_elements(By.CSS_SELECTOR, "tr.never")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
