from cacheroute.verb import PANELS
from cacheroute.verbs import BY_NAME, GROUPS, ROLES, VERBS


def test_every_name_is_unique() -> None:
    assert len(BY_NAME) == len(VERBS)


def test_every_verb_says_what_it_does_in_one_sentence_or_two() -> None:
    for verb in VERBS:
        assert verb.help.endswith(".")
        assert len(verb.help) <= 120
        assert all(parameter.help.endswith(".") for parameter in verb.parameters)


def test_a_verb_of_two_words_belongs_to_a_group_that_is_explained() -> None:
    assert {verb.words[0] for verb in VERBS if len(verb.words) == 2} == set(GROUPS)


def test_what_destroys_something_is_not_called_read_only() -> None:
    dangerous = {verb.name for verb in VERBS if verb.danger}
    assert {"down", "knowledge delete", "knowledge evict"} <= dangerous
    assert not any(verb.danger and verb.read_only for verb in VERBS)


def test_every_role_is_a_verb_of_the_roles_panel() -> None:
    assert {verb.words[-1] for verb in VERBS if verb.panel == "roles"} == set(ROLES)
    assert {verb.panel for verb in VERBS} == set(PANELS)
