"""Each path of the order flow, run whole in a store of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def run(order):
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", PROJECT, "-d", json.dumps(order)]
    done = subprocess.run([*command, "--store", "memory:"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def order(card="4242", price=10.0, quantity=2):
    return {"order_id": "o-1", "card": card, "lines": [{"item": "tea", "quantity": quantity, "price": price}]}


@pytest.mark.parametrize(("price", "outcome"), [(10.0, "standard"), (50.0, "express"), (49.99, "standard")])
def test_an_order_of_a_hundred_goes_by_express(price, outcome):
    assert run(order(price=price))["outcome"] == outcome


def test_a_busy_bank_is_asked_again():
    assert run(order(card="1111"))["detail"] == "o-1 paid 20.00 in 3 attempts"


def test_a_declined_card_is_not_asked_again_and_the_customer_hears_of_it():
    assert run(order(card="0000")) == {
        "outcome": "refused",
        "detail": "sorry: the card was declined (card_declined)",
    }
