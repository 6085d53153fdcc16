"""A restaurant's tablet: takes each of its orders one step further a round, until it is ready."""

import os
import signal
import sys
import time
from typing import Any

import requests

BASE = os.environ.get("TIFFIN", "http://localhost:8000")
ROUND_S = 1.0
REQUEST_TIMEOUT_S = 30


def main(restaurant: str) -> None:
    """Work until SIGINT; the round that has begun is finished."""
    stopped: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    session = requests.Session()
    session.headers["Authorization"] = (
        f"Bearer {os.environ.get('TIFFIN_TOKEN') or log_in(restaurant)}"
    )
    while not stopped:
        try:
            work(session)
        except requests.RequestException as error:  # a worker restarts, say: ask again
            print(f"no answer: {error}", flush=True)
        time.sleep(ROUND_S)


def log_in(restaurant: str) -> str:
    """Give a token of the demo, where anybody may be anybody."""
    who = {"role": "kitchen", "subject": "tablet", "restaurantId": restaurant}
    answer = requests.post(f"{BASE}/api/login/development", json=who, timeout=REQUEST_TIMEOUT_S)
    answer.raise_for_status()
    return str(answer.json()["token"])


def work(session: requests.Session) -> None:
    """Take the next step with each order; the list says which steps are possible, the usual one first."""
    answer = session.get(f"{BASE}/api/kitchen/orders", timeout=REQUEST_TIMEOUT_S)
    answer.raise_for_status()
    for order in answer.json()["orders"]:
        if order["nextSteps"]:
            take(session, order, order["nextSteps"][0])


def take(session: requests.Session, order: dict[str, Any], step: str) -> None:
    """Ask for the step; the same key again, after a time-out say, is the same request."""
    order_id = order["orderId"]
    answer = session.post(
        f"{BASE}/api/orders/{order_id}/{step}",
        json={},
        headers={"Idempotency-Key": f"tablet-{order_id}-{step}"},
        timeout=REQUEST_TIMEOUT_S,
    )
    result = answer.json()
    # 202: durable, and its outcome will be in the list; a problem has a stable code.
    outcome = result["status"] if answer.ok else result["code"]
    print(f"{order['reference']} {order_id} {step}: {outcome}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("which restaurant? python tablet.py annapurna-bengaluru")
    main(sys.argv[1])
