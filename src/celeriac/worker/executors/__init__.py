"""Executors: the processes that run attempts, and the supervisor's handles on them."""
