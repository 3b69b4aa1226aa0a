"""What the talkers say: sentences from a small grammar over a wide vocabulary, so that hardly any two scenes share one."""

import numpy as np

_WORDS = {
    "person": """
        the baker, the pilot, our neighbour, the young doctor, a tall woman, my brother, her uncle, the night guard, an old sailor,
        the judge, the gardener, a quiet boy, the painter, his cousin, the new teacher, a farmer, the violin player, the engineer,
        the bus driver, a stranger, the twins, nobody here, everyone upstairs, the captain, a clever child, the postman, my aunt, the
        whole family, the chef, a tired nurse, Martha, Oliver, Jasmine, Peter, Veronica, Hugh, Zoe, Benjamin, Fiona, George, Thelma,
        Xavier, Judith, Edward, Miriam, Theo
    """,
    "thing": """
        a blue umbrella, the wooden box, two fresh oranges, the broken clock, a jar of honey, the front door, some warm bread, the
        last ticket, a yellow raincoat, the kitchen window, five silver spoons, the heavy suitcase, a cup of tea, the garden fence, a
        letter from France, the telephone, the small red bicycle, a map of the city, the church bell, a basket of apples, the morning
        paper, a thick jumper, the green bottle, three chess pieces, the photo album, a pair of shoes, the washing machine, a paper
        boat, the stone bridge, an empty glass, the orange kite, a ladder, the birthday cake, her favourite song, the wrong address,
        an answer, a very long story, the weather report, the price of butter, his voice, the truth about it, a cheap guitar, the
        village museum, the smoke, a piece of chalk, the fishing rod, a bowl of soup, the grey horse, seven puppies, the zip of the
        jacket, a bunch of flowers, the engine, the thunder, the alphabet, an old joke, the other shoe
    """,
    "past": """
        found, painted, carried, lost, opened, remembered, borrowed, sold, watched, dropped, fixed, described, bought, wanted,
        forgot, followed, hid, measured, washed, praised, noticed, missed, moved, shared, cleaned, photographed, mentioned, wrapped,
        saved, touched, heard, chose, kept, brought, refused, imagined, enjoyed, copied, judged, pushed, expected, shook, checked,
        explained
    """,
    "base": """
        find, paint, carry, open, remember, borrow, sell, watch, drop, fix, describe, buy, want, forget, follow, hide, measure, wash,
        notice, move, share, clean, mention, wrap, save, touch, hear, choose, keep, bring, refuse, imagine, enjoy, copy, push,
        expect, shake, check, explain
    """,
    "adjective": """
        bright, useful, heavy, rather strange, quite cheap, very old, much too loud, perfectly clear, warm, soft, dangerous,
        invisible, wet, famous, unusual, boring, beautiful, empty, smooth, far from ready, sharp, yellow, full of holes, worth a
        fortune, hollow, rough, simple, thin, vague, healthy, curious, fragile, genuine, wide enough, shiny, muddy, tiny, pleasant,
        just right, terribly slow
    """,
    "place": """
        behind the station, near the river, at the market, under the bridge, in the garden, on the roof, beside the pool, across the
        street, in the north of Wales, by the lake, at home, next to the bakery, between two trees, in the valley, at the harbour,
        above the shop, outside the theatre, in the cellar, along the beach, at the top of the hill, inside the tunnel, over there,
        in a village, round the corner, through the woods, on the third floor, at school, in the waiting room, below the clouds, by
        the fireplace
    """,
    "time": """
        yesterday, last Thursday, in the morning, before lunch, every Sunday, at half past four, in January, a week ago, after the
        storm, at noon, long before sunrise, this evening, on her birthday, twice a month, in the autumn, during the game, right
        away, by mistake, with great care, without a word, as usual, for the first time, at the age of nine, while it rained, once
        again, together, in a hurry, for a few pounds, by bus, with both hands
    """,
    "number": """
        zero, one, two, three, four, five, six, seven, eight, nine, ten, twelve, thirteen, fifteen, sixteen, eighteen, twenty,
        thirty, forty, fifty, sixty, eighty, ninety, a hundred
    """,
    "colour": """
        blue, green, red, white, yellow, purple, brown, grey, pink, black, orange, violet, golden, silver
    """,
    "letter": """
        A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, X, Y, Z
    """,
    "command": """
        place, set, put, bring, move, lay, push, take, leave, keep
    """,
}
_LISTS = {name: tuple(" ".join(word.split()) for word in words.split(",")) for name, words in _WORDS.items()}

_PATTERNS = (
    "{person} {past} {thing} {place}.",
    "{time}, {person} {past} {thing}.",
    "{person} {past} {thing} {time}.",
    "did {person} {base} {thing} {place}?",
    "why would {person} {base} {thing}?",
    "{thing} {place} was {adjective}.",
    "please {base} {thing} {time}.",
    "{person} said that {thing} was {adjective}.",
    "{command} {colour} at {letter} {number} please.",
    "{person} will {base} {thing}, if {person} can {base} {thing}.",
    "there were {number} people {place} {time}.",
    "I think {person} should {base} {thing} {place}.",
    "nobody {past} {thing}, because it was {adjective}.",
    "room {number} is {adjective}, but room {number} is {adjective}.",
    "{time} we {past} {thing} and {past} {thing}.",
)


def sentence(rng: np.random.Generator) -> str:
    """One English sentence of about 5 to 14 words."""
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    words = []
    for piece in pattern.split("{"):
        name, closing, rest = piece.partition("}")
        words.append(_LISTS[name][rng.integers(len(_LISTS[name]))] + rest if closing else piece)
    text = "".join(words)
    return text[0].upper() + text[1:]


def talk(rng: np.random.Generator, sentences: int) -> str:
    """`sentences` sentences in a row."""
    return " ".join(sentence(rng) for _ in range(sentences))
