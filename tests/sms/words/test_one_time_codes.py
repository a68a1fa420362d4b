"""One-time codes are seen in doubt: their texts are never stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.words import one_time_codes


@pytest.mark.promise("L16")
@pytest.mark.parametrize(
    "text",
    [
        "Votre code est 482913", "Exemple : votre code de vérification est le 4829. Valable 10 min.",
        "482913 est votre code Exemple", "Your verification code is 482-913", "G-482913 is your code",
        "Code de sécurité : 48 29 13. Ne le communiquez à personne.", "OTP 7391",
        "Votre mot de passe temporaire : Ax7!kq92",
        "Your one-time passcode: A7K9Q2", "482913", " 4829 ", "Use 123 456 to log in", "TAN: 998877",
        "Ihr Bestätigungscode lautet 123456", "Su código es 123456", "Il tuo codice è 123456",
        "Uw verificatiecode is 1234",
        "Your code: 1234\n@exemple.fr #1234", "Connexion : https://exemple.fr/login?token=Zk39sLq0aPz71",
        "Réinitialisez ici https://exemple.fr/reset/8fj39dk2ls0aq1", "Code de retrait de votre colis : 4512",
        "Confirmez votre identification avec 90210", "PIN 0000", "Code WiFi invité : K7PL-9QX2",
        "Entrez 558201 pour valider. Ne partagez jamais ce numéro.", "ｃｏｄｅ 482913", "Votre CODE: 482 913",
    ],
)  # fmt: skip
def test_a_code_is_seen(text: str):
    assert one_time_codes.holds(text)


@pytest.mark.parametrize(
    "text",
    [
        "Votre rendez-vous est demain à 10h30", "Commande 2024110045 expédiée",
        "Code promo NOEL20 : -20% jusqu'au 24/12",
        "Your discount code: SAVE20X", "Code postal 69003, bien reçu", "Rappelez-nous au 01 42 34 56 78",
        "Bonjour {prénom}, à demain", "Votre facture de 1234,50 € est disponible", "",
        "Bonne année 2027", "Merci, à bientôt. STOP au 36180", "https://exemple.fr/offres/noel",
        "Le code de la route change",
        "Votre code vous attend en agence",
    ],
)  # fmt: skip
def test_what_is_none(text: str):
    assert not one_time_codes.holds(text)


@given(st.text(max_size=200), st.integers(1000, 99_999_999))
def test_whatever_stands_around_it(around: str, code: int):
    assert one_time_codes.holds(f"Votre code est {code} \n{around}")
