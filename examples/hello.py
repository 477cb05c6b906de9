"""The smallest program: one task, called and awaited.

In one terminal:   celeriac -A hello worker --loglevel info
In another:        python hello.py
"""

from celeriac import Celeriac

app = Celeriac("hello")


@app.task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


if __name__ == "__main__":
    print("called here:", add(4, 6))
    print("run by the worker:", add.delay(4, 6).get(timeout=10))
