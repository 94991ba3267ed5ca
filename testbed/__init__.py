"""A data-plane emulation testbed for OpenShift 3.11's SDN."""

__version__ = "0.1.0"
