"""A complaint as a scenario: a pytest file that fails until what it is about is mended.

``complaint`` is what is asked and what must happen, ``text`` the file, ``snapshot``
what a running testbed has, kept beside the file so that it can be run anywhere.
"""
