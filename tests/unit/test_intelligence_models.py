from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from domain.intents import PROFILES
from intelligence.calibration import fitted_sharpness
from intelligence.evaluate import evaluate_intents, evaluate_sentiment
from intelligence.intent_model import LinearIntentModel
from intelligence.intent_training import IntentFit, fit_intent_model
from intelligence.labelled_text import (
    LabelledText,
    held_out_intent_examples,
    shipped_intent_examples,
    shipped_sentiment_examples,
)
from intelligence.language_detector import LanguageDetector, fit_language_detector
from intelligence.lexicon import SIGNALS, sentiment_signals
from intelligence.probabilities import softmax
from intelligence.sentiment_model import MOODS, LexiconAndWordsModel
from intelligence.sentiment_training import SentimentFit, fit_sentiment_model
from intelligence.text_features import LONGEST_READ, TermWeights, character_groups, normalised, word_pairs


@pytest.fixture(scope="module")
def intents() -> IntentFit:
    return fit_intent_model(shipped_intent_examples())


@pytest.fixture(scope="module")
def sentiment() -> SentimentFit:
    return fit_sentiment_model(shipped_sentiment_examples())


@pytest.fixture(scope="module")
def languages() -> LanguageDetector:
    return fit_language_detector((*shipped_intent_examples(), *shipped_sentiment_examples()))


def test_every_intent_has_thirty_examples_and_every_example_an_intent() -> None:
    counts = Counter(example.label for example in shipped_intent_examples())
    assert set(counts) == set(PROFILES)
    assert min(counts.values()) >= 30


def test_four_hundred_messages_are_labelled_with_a_mood() -> None:
    counts = Counter(example.label for example in shipped_sentiment_examples())
    assert set(counts) == set(MOODS)
    assert counts.total() >= 400


def test_no_shipped_model_has_seen_a_held_out_message() -> None:
    seen = {normalised(example.text) for example in shipped_intent_examples()}
    assert not [example.text for example in held_out_intent_examples() if normalised(example.text) in seen]


def test_the_shipped_examples_carry_over_to_messages_never_seen(intents: IntentFit) -> None:
    held_out = held_out_intent_examples()
    evaluation = evaluate_intents(
        intents.model.predict([example.text for example in held_out]), [example.label for example in held_out]
    )
    assert evaluation.accuracy > 0.7
    assert evaluation.top3_accuracy > 0.85
    assert evaluation.selective[0].accuracy > 0.95


def test_held_out_confidence_is_close_to_the_share_that_is_right(intents: IntentFit) -> None:
    evaluation = evaluate_intents(intents.held_out, [example.label for example in shipped_intent_examples()])
    assert evaluation.expected_calibration_error < 0.1


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("Where is my parcel?? I ordered it a week ago", "delivery_status"),
        ("Ich habe mein Passwort vergessen", "password_reset"),
        ("Je voudrais résilier mon contrat", "cancel_subscription"),
        ("¿me pueden enviar la factura?", "invoice_request"),
    ],
)
def test_a_plain_wish_is_understood_in_four_languages(intents: IntentFit, text: str, intent: str) -> None:
    assert intents.model.predict([text])[0].intent == intent


def test_nothing_readable_names_no_intent(intents: IntentFit) -> None:
    for prediction in intents.model.predict(["", "   ", "\u2603\u2603"]):
        assert prediction.intent is None
        assert prediction.confidence == 0.0
    assert intents.model.predict([]) == []


def test_alternatives_follow_in_order_and_differ_from_the_first(intents: IntentFit) -> None:
    prediction = intents.model.predict(["I was charged and want a refund"])[0]
    probabilities = [prediction.confidence, *(probability for _, probability in prediction.alternatives)]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) <= 1.0 + 1e-9
    assert prediction.intent not in {intent for intent, _ in prediction.alternatives}


def test_a_model_read_back_from_its_arrays_says_the_same(intents: IntentFit) -> None:
    again = LinearIntentModel.from_arrays(intents.model.arrays(), intents.model.version)
    texts = [example.text for example in held_out_intent_examples()]
    assert again.predict(texts) == intents.model.predict(texts)


def test_a_message_is_predicted_alike_alone_and_among_others(intents: IntentFit) -> None:
    texts = [example.text for example in held_out_intent_examples()[:20]]
    alone = [intents.model.predict([text])[0] for text in texts]
    assert [prediction.intent for prediction in alone] == [p.intent for p in intents.model.predict(texts)]


def test_training_twice_gives_the_same_model() -> None:
    examples = shipped_intent_examples()[:200]
    first, second = (fit_intent_model(examples).model.arrays() for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_two_intents_are_enough() -> None:
    examples = [LabelledText(f"refund please {word}", "refund") for word in "abcdefgh"]
    examples += [LabelledText(f"where is my parcel {word}", "parcel") for word in "abcdefgh"]
    model = fit_intent_model(examples).model
    assert [p.intent for p in model.predict(["my parcel", "a refund please"])] == ["parcel", "refund"]


def test_an_intent_with_a_single_example_can_be_learned() -> None:
    examples = [LabelledText(f"refund please {word}", "refund") for word in "abcdefgh"]
    examples += [LabelledText(f"where is my parcel {word}", "parcel") for word in "abcdefgh"]
    model = fit_intent_model([*examples, LabelledText("the inverter hums", "inverter")]).model
    assert model.predict(["inverter hums"])[0].intent == "inverter"


def test_too_few_examples_or_intents_are_refused() -> None:
    with pytest.raises(ValueError, match="two intents"):
        fit_intent_model([LabelledText("a", "refund")] * 20)
    with pytest.raises(ValueError, match="at least 10"):
        fit_intent_model([LabelledText("a", "refund"), LabelledText("b", "parcel")])


def test_an_angry_message_is_negative_and_a_grateful_one_positive(sentiment: SentimentFit) -> None:
    angry, grateful, plain = sentiment.model.predict(
        ["This is a disgrace, I am furious!!", "Thank you so much, wonderful help", "Where can I find the invoice?"]
    )
    assert angry.score < -0.5
    assert angry.negative_probability > 0.8
    assert grateful.score > 0.5
    assert abs(plain.score) < 0.5


def test_most_negative_messages_are_found_among_those_never_seen(sentiment: SentimentFit) -> None:
    evaluation = evaluate_sentiment(sentiment)
    assert evaluation.negative_auroc > 0.9
    assert evaluation.negative_recall > 0.7


def test_sentiment_read_back_from_its_arrays_says_the_same(sentiment: SentimentFit) -> None:
    again = LexiconAndWordsModel.from_arrays(sentiment.model.arrays(), sentiment.model.version)
    texts = [example.text for example in held_out_intent_examples()[:20]]
    assert again.predict(texts) == sentiment.model.predict(texts)
    assert again.predict([]) == []


def test_labels_that_are_no_moods_are_refused() -> None:
    with pytest.raises(ValueError, match="no moods: cross"):
        fit_sentiment_model([LabelledText("grr", "cross")])
    with pytest.raises(ValueError, match="every mood"):
        fit_sentiment_model([LabelledText("grr", "negative")])


def test_a_negated_word_is_counted_apart() -> None:
    row = dict(zip(SIGNALS, sentiment_signals(["this is not good"])[0], strict=True))
    assert row["negated positive words"] > 0
    assert row["positive words"] == 0
    assert sentiment_signals([]).shape == (0, len(SIGNALS))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello, could you help me with my order?", "en"),
        ("Guten Tag, ich habe eine Frage zu meiner Bestellung", "de"),
        ("Bonjour, je n'ai pas reçu ma commande", "fr"),
        ("Hola, quiero saber dónde está mi pedido", "es"),
        ("привет, где моя посылка", None),
        ("4711", None),
        ("ok", None),
        ("", None),
    ],
)
def test_a_language_is_named_only_when_known(languages: LanguageDetector, text: str, language: str | None) -> None:
    assert languages.language_of(text) == language
    assert LanguageDetector.from_arrays(languages.arrays()).language_of(text) == language


def test_sharpness_tempers_boastful_scores() -> None:
    scores = np.array([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [0.0, 4.0]])
    truth = np.array([0, 1, 1, 1])
    sharpness = fitted_sharpness(scores, truth, np.ones(4))
    assert softmax(scores, sharpness)[:, truth].max() < 0.9
    assert softmax(scores, sharpness)[0, 0] == pytest.approx(0.75, abs=0.01)


def test_only_the_beginning_is_read_and_numbers_keep_their_shape_only() -> None:
    assert len(normalised("x" * 5000)) == LONGEST_READ
    assert normalised("Order 4711") == "order 0000"


def test_word_pairs_reach_three_words_far() -> None:
    assert word_pairs("refund my order") == [
        "refu",
        "my",
        "orde",
        "^ refu",
        "^ * my",
        "^ * orde",
        "refu my",
        "refu * orde",
        "my orde",
    ]


def test_term_weights_are_the_tf_idf_of_scikit_learn() -> None:
    texts = [normalised(example.text) for example in shipped_intent_examples()[:300]]
    reference = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2).fit(texts[:200])
    ours = TermWeights.fit([character_groups(text) for text in texts[:200]], rarest=2)
    assert ours.columns == reference.vocabulary_
    expected = reference.transform(texts[200:]).toarray()
    assert np.allclose(ours.rows([character_groups(text) for text in texts[200:]]).toarray(), expected, atol=1e-6)


@given(st.lists(st.text(max_size=80), min_size=1, max_size=5))
def test_whatever_a_customer_types_has_an_answer(
    intents: IntentFit, sentiment: SentimentFit, languages: LanguageDetector, texts: list[str]
) -> None:
    assert all(0.0 <= prediction.confidence <= 1.0 for prediction in intents.model.predict(texts))
    assert all(-1.0 <= mood.score <= 1.0 for mood in sentiment.model.predict(texts))
    assert {languages.language_of(text) for text in texts} <= {"en", "de", "fr", "es", None}
