"""Labs: what somebody learns the SDN by, in a cluster of their own.

``model`` is what a lab consists of, ``read`` makes it of a directory, ``shelf`` knows
where directories are. ``bench`` does steps in the cluster of the sandbox this process
is in, and ``exam`` judges there by packets. ``progress`` is how far somebody is,
``rehearsal`` tries a lab's own solutions out, ``classroom`` has many at once.

How to write a lab: ``scenarios/labs/README.md``.
"""
