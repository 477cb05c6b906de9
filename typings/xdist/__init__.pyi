# The part of pytest-xdist that the tests use.
