"""A hundred coroutine tasks, sent in one trip and awaited together.

In one terminal:   celeriac -A fan_out worker --loglevel info
In another:        python fan_out.py
"""

import asyncio
import time

from celeriac import Celeriac

app = Celeriac("fan_out")


@app.task
async def look_up(number: int) -> int:
    """Stands for a slow service: a tenth of a second of waiting, which other coroutines use."""
    await asyncio.sleep(0.1)
    return number * number


async def main() -> None:
    """Send all, wait for all."""
    start = time.perf_counter()
    results = await look_up.adelay_many([(number,) for number in range(100)])
    squares = await asyncio.gather(*(result.aget(timeout=10) for result in results))
    print(f"the sum of 100 squares is {sum(squares)}, in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    asyncio.run(main())
