"""What the kernels of nodes and pods are told, as text: links, iptables, DNS. Pure.

Text is the input of a standard program (``ip -batch``, ``iptables-restore``,
``dnsmasq``); ``testbed.emulation`` runs them.
"""
