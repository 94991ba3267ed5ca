"""Objects that nobody collected, out of what flows, rules and interfaces say.

One module for each kind of object; each takes the case as far as it has come, adds the
objects it can tell and says how sure they are. What objects say counts more than what
flows say: the flows are what is to be examined.
"""
