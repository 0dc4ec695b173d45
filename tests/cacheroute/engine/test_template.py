from typing import Any

from jinja2 import Environment

from cacheroute.engine.embedded.template import Render, has_system_role, why_not_pinned, without_system_role

SYSTEM_FIRST = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
BODY = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def renderer(template: str) -> Render:
    def render(messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, date: str) -> str:
        compiled = Environment().from_string(template)
        return compiled.render(messages=messages, tools=tools, strftime_now=lambda style: date, fail=_fail)

    return render


def _fail(why: str) -> str:
    raise ValueError(why)


def test_a_system_message_at_the_head_can_be_pinned_also_behind_constant_words():
    assert why_not_pinned(renderer(SYSTEM_FIRST)) == ""
    assert why_not_pinned(renderer("You are a model.\n" + SYSTEM_FIRST)) == ""


def test_a_date_before_the_knowledge_cannot_be_pinned_but_behind_it_can():
    assert "date" in why_not_pinned(renderer("{{ strftime_now('%d %b %Y') }}" + BODY))
    assert why_not_pinned(renderer(BODY + "{{ strftime_now('%d %b %Y') }}")) == ""


def test_tools_before_the_knowledge_cannot_be_pinned_but_behind_it_can():
    assert "tools" in why_not_pinned(renderer("{% if tools %}Tools!{% endif %}" + BODY))
    assert why_not_pinned(renderer(BODY + "{% if tools %}Tools!{% endif %}")) == ""


def test_a_template_without_a_system_role_cannot_be_pinned():
    refuses = "{% if messages[0].role == 'system' %}{{ fail('System role not supported') }}{% endif %}" + BODY
    assert "System role not supported" in why_not_pinned(renderer(refuses))
    drops = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    assert "drops" in why_not_pinned(renderer(drops))


def test_every_reason_is_given():
    both = "{{ strftime_now('%Y') }}{% if tools %}Tools!{% endif %}" + BODY
    assert why_not_pinned(renderer(both)).count(";") == 1


def test_a_system_text_that_moves_to_the_last_turn_cannot_be_pinned():
    moves = """{% for m in messages if m.role != 'system' %}
        {%- if loop.last %}{{ messages[0].content }}{% endif %}<{{ m.role }}>{{ m.content }}{% endfor %}"""
    assert "moves" in why_not_pinned(renderer(moves))


def test_a_system_role_is_one_whose_text_reaches_the_prompt():
    refuses = "{% if messages[0].role == 'system' %}{{ fail('no system') }}{% endif %}" + BODY
    drops = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    assert [has_system_role(renderer(each)) for each in (BODY, refuses, drops)] == [True, False, False]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_without_a_system_role_its_text_goes_before_the_first_users():
    system, user, answer = _message("system", "K\n\n"), _message("user", "q"), _message("assistant", "a")
    assert without_system_role([system, user, answer]) == [_message("user", "K\n\nq"), answer]
    brief = _message("system", "Be brief.")
    assert without_system_role([brief, brief, user]) == [_message("user", "Be brief.\n\nBe brief.\n\nq")]
    assert without_system_role([system, answer, user]) == [_message("user", "K\n\n"), answer, user]
    assert without_system_role([system]) == [_message("user", "K\n\n")]
    assert without_system_role([user, system]) == [user, system]
    assert without_system_role([_message("system", ""), user]) == [user]
