"""Mutation testing: is there a scenario for every way to get the data plane wrong?

A *mutant* is the running cluster with one thing wrong on one node: a flow or a rule of
iptables that is missing, or that says something else. The scenarios that have to do
with it are run; the first that fails *kills* it. A mutant that *survives* is a mistake
that nobody would notice.

Mutants are made of *kinds*. Flows that differ in addresses, ofports and VNIDs alone are
one kind, and so are rules; of each kind one is broken, which the scenarios hit. They
are broken in every way that ``flows`` and ``rules`` know, but for those that provably
change nothing (``equivalence``) or that somebody has judged to (``equivalents``).

========================  ========================================================
``fault``                 what is wrong with a node, as a value
``fields``                which packets a match takes, and whether two overlap
``flows``, ``rules``      the ways to get one flow, or one rule, wrong
``equivalence``           which of them change nothing, and why
``equivalents``           those that only a person can tell, each with the reason
``survey``, ``plan``      what the scenarios hit, and so which mutants there are
``worker``                a pytest session that breaks, runs and mends
``jobs``                  several of them, each with a cluster of its own
``witness``               a packet that a survivor treats differently
``verdict``, ``report``   what came of it
========================  ========================================================
"""
