"""Sentences in languages other than English, for espeak-ng to say: a judge of sound should not care which language is spoken."""

import numpy as np

from auricle.errors import ConfigError

SENTENCES: dict[str, tuple[str, ...]] = {
    "en-us": (
        "The boat left the harbour early in the morning and came back late at night.",
        "Please put the bread and the cheese on the table near the window.",
        "We walked along the river until it began to rain.",
        "My brother bought an old house with a small garden last year.",
    ),
    "de": (
        "Das Boot verließ früh am Morgen den Hafen und kam spät in der Nacht zurück.",
        "Bitte stelle das Brot und den Käse auf den Tisch am Fenster.",
        "Wir gingen am Fluss entlang, bis es zu regnen begann.",
        "Mein Bruder hat im letzten Jahr ein altes Haus mit einem kleinen Garten gekauft.",
    ),
    "fr": (
        "Le bateau a quitté le port tôt le matin et il est revenu tard dans la nuit.",
        "Mets le pain et le fromage sur la table près de la fenêtre.",
        "Nous avons marché le long de la rivière jusqu'à ce qu'il commence à pleuvoir.",
        "Mon frère a acheté une vieille maison avec un petit jardin l'année dernière.",
    ),
    "es": (
        "El barco salió del puerto temprano por la mañana y volvió tarde por la noche.",
        "Por favor, pon el pan y el queso en la mesa junto a la ventana.",
        "Caminamos a lo largo del río hasta que empezó a llover.",
        "Mi hermano compró el año pasado una casa vieja con un pequeño jardín.",
    ),
    "it": (
        "La barca ha lasciato il porto la mattina presto ed è tornata a tarda notte.",
        "Per favore, metti il pane e il formaggio sul tavolo vicino alla finestra.",
        "Abbiamo camminato lungo il fiume finché non ha cominciato a piovere.",
    ),
    "pl": (
        "Łódź opuściła port wcześnie rano i wróciła późno w nocy.",
        "Proszę połóż chleb i ser na stole przy oknie.",
        "Szliśmy wzdłuż rzeki, aż zaczęło padać.",
    ),
}


def sentence(language: str, rng: np.random.Generator) -> str:
    """One of the language's sentences. Raises ConfigError where there are none."""
    if language not in SENTENCES:
        raise ConfigError(f"check.languages: no sentences in {language!r}; there are some in {', '.join(SENTENCES)}")
    return str(rng.choice(SENTENCES[language]))
