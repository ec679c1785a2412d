from channels.email.reply_text import written_text
from channels.html import safe_html, text_of_html

QUOTED = "On Mon, 3 Mar 2025 at 10:00, Lamp Help <help@lamp.example> wrote:\n> Did you unplug it?\n> Regards\n"


def test_an_answer_above_the_quotation_stands_alone() -> None:
    assert written_text(f"Yes, twice.\n\n{QUOTED}") == "Yes, twice."


def test_an_answer_below_the_quotation_is_found() -> None:
    assert written_text(f"{QUOTED}\nYes, twice.") == "Yes, twice."


def test_answers_between_quoted_lines_are_kept_in_their_order() -> None:
    text = "Hi,\n\nOn Monday, Lamp Help wrote:\n> Is it new?\nTwo weeks.\n> Does it hum?\nAll night."
    assert written_text(text) == "Hi,\n\nTwo weeks.\nAll night."


def test_lists_and_thanks_inside_the_text_are_no_signature() -> None:
    text = "I tried:\n- another bulb\n- another socket\nThanks, but it hums.\nBest regards from the dark"
    assert written_text(text) == text


def test_an_indented_log_keeps_its_shape() -> None:
    text = "It says:\n\n    Traceback\n        lamp: hums"
    assert written_text(text) == text


def test_a_delimited_signature_goes() -> None:
    assert written_text("It hums.\n-- \nAda Byte\nLamp owner") == "It hums."


def test_an_outlook_header_ends_the_text() -> None:
    text = "It hums.\n\nFrom: Lamp Help <help@lamp.example>\nSent: Monday\nTo: Ada\nSubject: Lamp\n\nDid you unplug it?"
    assert written_text(text) == "It hums."


def test_a_german_quotation_is_known_too() -> None:
    assert written_text("Sie summt.\n\nAm 03.03.2025 um 10:00 schrieb Hilfe <h@lamp.example>:\n> Noch?") == "Sie summt."


def test_a_text_that_is_all_quotation_is_kept_whole() -> None:
    assert written_text("> only\n> quoted") == "> only\n> quoted"


def test_long_lines_survive_and_quoted_ones_stay_out() -> None:
    paragraph = "hum " * 400 + "end"
    assert written_text(f"{paragraph}\n\n{QUOTED}> {'old ' * 400}\n") == paragraph


def test_a_text_longer_than_what_is_looked_at_loses_nothing_of_its_own() -> None:
    own = "\n".join(f"line {number}" for number in range(5000))
    assert written_text(own) == own


def test_a_quoted_html_answer_reads_like_a_quoted_text() -> None:
    html = (
        '<div dir="ltr">Yes, <i>twice</i>.</div><br><div class="gmail_quote"><div>On Mon, 3 Mar 2025 at 10:00, Help '
        "&lt;help@lamp.example&gt; wrote:<br></div><blockquote>Did you unplug it?</blockquote></div>"
    )
    text = text_of_html(html)
    assert "> Did you unplug it?" in text
    assert written_text(text) == "Yes, twice."


def test_html_blocks_lists_and_cells_become_lines() -> None:
    html = "<h1>Order</h1><ul><li>one</li><li>two</li></ul><table><tr><td>a</td><td>b</td></tr></table>x<br>y&amp;z"
    assert text_of_html(html) == "Order\n\n- one\n- two\n\na b\n\nx\ny&z"


def test_links_keep_their_place_but_no_script_and_no_way_back() -> None:
    html = safe_html('<a href="javascript:x()">a</a><a href="https://lamp.example/?q=1">b</a><form><input></form>')
    assert "javascript" not in html
    assert 'href="https://lamp.example/?q=1"' in html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "<input" not in html


def test_nothing_in_safe_html_loads_from_elsewhere() -> None:
    html = safe_html(
        '<table background="https://spy.example/a"><tr><td style="background:url(https://spy.example/b)">t</td></tr></table>'
        '<link rel="stylesheet" href="https://spy.example/c"><video src="https://spy.example/d"></video>'
        "<style>@import 'https://spy.example/e'</style>"
    )
    assert "spy.example" not in html
    assert ">t</td>" in html
