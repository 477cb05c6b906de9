"""A task that fails twice and then succeeds, and one that gives up.

In one terminal:   celeriac -A retries worker --loglevel info
In another:        python retries.py
"""

from celeriac import Celeriac, Task

app = Celeriac("retries")


@app.task(bind=True, autoretry_for=(ConnectionError,), max_retries=5, default_retry_delay=0.2)
def fetch(self: Task[..., str], succeed_at: int) -> str:
    """Stands for a call to a service that is away for a while."""
    attempt = self.request.retries + 1
    if attempt < succeed_at:
        raise ConnectionError(f"attempt {attempt}: nobody there")
    return f"attempt {attempt}: here it is"


@app.task(bind=True, max_retries=1, throws=(ValueError,))
def parse(self: Task[..., int], text: str) -> int:
    """Asks for a retry by hand. `throws`: a failure that is expected, logged without a traceback."""
    try:
        return int(text)
    except ValueError as error:
        raise self.retry(exc=error, countdown=0.2) from error


if __name__ == "__main__":
    print(fetch.delay(3).get(timeout=10))
    try:
        parse.delay("seven").get(timeout=10)
    except ValueError as error:
        print("gave up:", error)
