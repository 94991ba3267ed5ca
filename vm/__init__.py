"""A Debian machine with Open vSwitch's kernel module, for one command: ``./run vm``.

Where the kernel at hand has no such module, or one would rather not load it, the
command runs in a virtual machine: KVM where that works, software emulation otherwise.
The machine has no network, is made from Debian's packages once and kept in the cache,
and is gone when the command ends.

* ``checkout`` what goes in, and what comes back
* ``image``    making the disk, once
* ``machine``  one machine, from power-on to the exit status
* ``provision``, ``mkdisk`` run while the disk is made; ``init`` is the machine's PID 1

It is no part of the package ``testbed``, needs nothing that pip installs, and runs with
Python 3.10, as the machine it is started on may be older than the one it makes.
"""
