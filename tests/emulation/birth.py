"""The first process of a machine to test on (``conftest.Host``): it makes it one.

Run inside fresh namespaces with options as JSON; prints an empty line when all is
there. From then on it buries the dead, and runs each script it reads from stdin, a JSON
string a line, with the rights of the machine's root; what that wrote it prints as one.

Everything it makes is somebody else's to a testbed: names like ours, which must come to
no harm.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

LINKS = """\
link set lo up
link add eth0 type veth peer name uplink0
address add 192.0.2.10/24 dev eth0
link set eth0 up
link add br0 type bridge
link add tun0 type veth peer name vxlan0
link set tun0 master br0
netns add node-1.test
netns add lab_client-1
link set uplink0 netns node-1.test
route add default via 192.0.2.1
"""
GATEWAY = """\
link set lo up
link set uplink0 name eth0
address add 192.0.2.1/24 dev eth0
link set eth0 up
"""
SWITCH = Path("/run/openvswitch")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

MS_BIND = 4096
MOUNT_SETATTR = 442
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY = 1


def main() -> NoReturn:
    options = json.loads(sys.argv[1])
    make_files(options)
    if options.get("readonly"):
        make_readonly()
    for which in ("all", "default"):
        # Its own chatter would show as a difference.
        Path(f"/proc/sys/net/ipv6/conf/{which}/disable_ipv6").write_text("1")
    run("ip", "-batch", "-", stdin=LINKS)
    run("ip", "-n", "node-1.test", "-batch", "-", stdin=GATEWAY)
    start_switch()
    for path in options.get("emptied", ()):
        mount("tmpfs", path, "tmpfs")
    for path in options.get("covered", ()):
        mount("/dev/null", path, "", MS_BIND)
    for name, value in options.get("sysctls", {}).items():
        Path("/proc/sys", name.replace(".", "/")).write_text(value)
    serve()


def serve() -> NoReturn:
    wakeup, child_died = os.pipe()
    os.set_blocking(child_died, False)
    signal.set_wakeup_fd(child_died, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    say("")
    while True:
        ready, _, _ = select.select([0, wakeup], [], [])
        if wakeup in ready:
            os.read(wakeup, 512)
            bury()
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            script = json.loads(line)
            done = subprocess.run(
                ["bash", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            say(json.dumps(done.stdout))


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def make_files(options: dict[str, Any]) -> None:
    cover("/run")
    cover("/srv")
    for path in ("netns", "lock", "openvswitch"):
        Path("/run", path).mkdir()
    for path in ("tmp", "home", "desk"):
        Path("/srv", path).mkdir()
    # A copy, for others may change theirs meanwhile; what is not ours to read is left.
    subprocess.run(
        ["cp", "-a", "/etc", "/run/etc"], stderr=subprocess.DEVNULL, check=False
    )
    mount("/run/etc", "/etc", "", MS_BIND)
    mount("sysfs", "/sys", "sysfs")
    if size := options.get("small"):
        Path("/srv/small").mkdir()
        mount("tmpfs", "/srv/small", "tmpfs", data=f"size={size},mode=700")


def needed_below(directory: str) -> list[Path]:
    """What tests need of a directory that the machine has another of."""
    needed = (Path.cwd(), Path(sys.prefix))
    return [path for path in needed if Path(directory) in path.parents]


def cover(directory: str) -> None:
    """Have an empty one there, but for the checkout and its Python."""
    kept = [(path, os.open(path, os.O_PATH)) for path in needed_below(directory)]
    mount("tmpfs", directory, "tmpfs")
    for path, descriptor in kept:
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{descriptor}", str(path), "", MS_BIND)
        os.close(descriptor)


def start_switch() -> None:
    os.environ["OVS_RUNDIR"] = str(SWITCH)
    own = ("--detach", "--no-chdir", "--pidfile", "-vconsole:off", "-vsyslog:off")
    dummy = ("--enable-dummy=override", "--disable-system")
    database = f"unix:{SWITCH}/db.sock"
    run("ovsdb-tool", "create", f"{SWITCH}/conf.db", SCHEMA)
    run("ovsdb-server", *own, f"--remote=p{database}", f"{SWITCH}/conf.db")
    run("ovs-vswitchd", *own, *dummy, database)
    run("ovs-vsctl", f"--db={database}", "add-br", "br0")


def make_readonly() -> None:
    """Whatever is mounted now, but for /run, /srv and what the kernel shows.

    And /tmp, where ovsdb-server has a file without a name (tmpfile(3)).
    """
    set_readonly("/", readonly=True)
    cover("/tmp")  # noqa: S108 - its own
    # Where /proc is read-only, no other may be mounted writable (user_namespaces(7)).
    for writable in ("/run", "/srv", "/etc", "/dev", "/proc", "/sys"):
        set_readonly(writable, readonly=False)
        for path in needed_below(writable):
            set_readonly(str(path), readonly=True)


def bury() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def run(*argv: str, stdin: str = "") -> None:
    subprocess.run(argv, input=stdin, text=True, check=True, stdout=subprocess.DEVNULL)


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2); the program of that name is for root alone."""
    texts = [text.encode() for text in (source, target, kind)]
    check(libc().mount(*texts, flags, data.encode()), target)


def set_readonly(path: str, *, readonly: bool) -> None:
    """mount_setattr(2), for all that is mounted there and below."""
    change = (MOUNT_ATTR_RDONLY, 0) if readonly else (0, MOUNT_ATTR_RDONLY)
    attributes = (ctypes.c_uint64 * 4)(*change, 0, 0)
    where = (AT_FDCWD, path.encode(), AT_RECURSIVE)
    size = ctypes.sizeof(attributes)
    check(libc().syscall(MOUNT_SETATTR, *where, attributes, size), path)


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def check(result: int, path: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


if __name__ == "__main__":
    main()
