"""Which payment methods may be offered for which menus."""

import pytest

from models.payment_methods import read_payment_methods


@pytest.mark.parametrize(
    ("names", "currencies", "offered"),
    [
        (["card"], {"INR", "USD"}, ("card",)),
        (["card", "us_bank_account"], {"INR", "USD"}, ("card", "us_bank_account")),
        (["bancontact"], {"EUR"}, ("bancontact",)),
        (["automatic"], {"INR"}, None),
    ],
)
def test_methods_that_suit_the_menus(
    names: list[str], currencies: set[str], offered: tuple[str, ...] | None
) -> None:
    assert read_payment_methods(names, currencies) == offered


@pytest.mark.parametrize(
    ("names", "currencies", "said"),
    [
        (
            ["cash"],
            {"INR"},
            "cash: accepted: card, bancontact, us_bank_account, or automatic alone",
        ),
        (["card", "automatic"], {"INR"}, "automatic: accepted: card"),
        (["card", "card"], {"INR"}, "card is there twice"),
        (["card", "bancontact"], {"INR", "USD"}, "bancontact: it takes EUR, and no menu has that"),
        (
            ["bancontact", "us_bank_account"],
            {"EUR", "JPY", "USD"},
            "menus in JPY can't be paid by bancontact",
        ),
    ],
)
def test_methods_that_do_not_suit_are_refused(
    names: list[str], currencies: set[str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        read_payment_methods(names, currencies)
