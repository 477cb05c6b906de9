"""The same on Redis: workers on any machine, work for later that waits in Redis, results that any program may read.

In one terminal:   celeriac -A on_redis worker --loglevel info
In another:        python on_redis.py

`REDIS_URL` names the server if it is another one than that of this machine.
"""

import os

from celeriac import AsyncResult, Celeriac

app = Celeriac("on_redis", broker=os.environ.get("REDIS_URL", "redis://localhost:6379/0"))


@app.task
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


if __name__ == "__main__":
    later = greet.apply_async(("later",), countdown=1)
    print("run at once:", greet.delay("now").get(timeout=10))
    found = AsyncResult[str](later.id, app=app)  # the id is all that another program needs to know
    print("run when due:", found.get(timeout=10))
