"""What is shown of a value, of a list and of a sentence, whatever is in them."""

from align_jax.errors import UserError, listed, shown


def test_a_sentence_keeps_its_beginning_and_its_end_on_one_line():
    error = UserError("'" + "x" * 2_000_000 + "' is too long; shorten it.")
    assert len(str(error)) <= 2000
    assert str(error).startswith("'xxx")
    assert str(error).endswith("xxx' is too long; shorten it.")
    assert str(UserError("a\nb \x1b[31m \udcff \u202e é 漢")) == "a b �[31m � � é 漢"
    assert str(UserError("two  blanks stay.")) == "two  blanks stay."


def test_a_value_is_shown_in_few_letters():
    for value in (10**4000, 10**5000, (10**5000,), ("erm",) * 10**5, "x" * 10**6, b"x" * 10**6):
        assert 10 < len(shown(value)) <= 200


def test_values_of_the_usual_size_are_shown_as_they_are():
    assert [shown(value) for value in (3, 0.5, "a", ("erm", "dre"))] == ["3", "0.5", "'a'", "('erm', 'dre')"]


def test_a_list_names_ten_and_counts_the_others():
    assert listed(("a", "b")) == "a, b"
    assert listed([str(n) for n in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    assert listed([str(n) for n in range(1234)]) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 1,224 more"
    assert listed(dict.fromkeys("abc"), most=2) == "a, b and 1 more"
    assert len(listed(["x" * 10**6] * 3)) < 700
