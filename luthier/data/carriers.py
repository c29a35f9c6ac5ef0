"""What canaries are carried by: sentences around a value, and ones that only look as if they held one. Tables only.

Written for this purpose, in the tone of letters and chats; none is taken from a text that the recognisers were
developed on.
"""

from __future__ import annotations

CARRIERS: dict[str, dict[str, tuple[str, ...]]] = {
    "en": {
        "PERSON": (
            "Could {} get a copy as well?",
            "I spoke with {} about it last week.",
            "The form was filled in by {}.",
            "{} will pick up the parcel for me.",
            "My colleague {} told me the same.",
            "Please put {} on the list.",
            "As {} wrote, it never arrived.",
        ),
        "ADDRESS": (
            "Please send it to {}.",
            "Since March I live at {}.",
            "The old one was {}, in case that helps.",
            "Our office is at {}.",
        ),
        "IBAN": ("Please refund it to {}.", "The account is {}.", "{} is where the money should go."),
        "CARD": ("I paid with {}.", "The card number is {}.", "{} was charged twice."),
        "PHONE": ("You can reach me at {}.", "My number is {}.", "Please call {} after five."),
        "EMAIL": ("Write to {} please.", "My e-mail is {}.", "I signed up with {} two years ago."),
        "ID": ("My social security number is {}.", "The SSN on the form is {}."),
        "ACCOUNT": ("My account number is {}.", "It concerns customer number {}."),
        "IP": ("The login came from {}.", "Our server {} was blocked."),
        "SECRET": ("The password is {}.", "api_key={}", "My token: {}", "It fails with password {!r}."),
    },
    "de": {
        "PERSON": (
            "Könnte {} auch eine Kopie bekommen?",
            "Ich habe letzte Woche mit {} darüber gesprochen.",
            "Das Formular hat {} ausgefüllt.",
            "{} holt das Paket für mich ab.",
            "Mein Kollege {} sagt dasselbe.",
        ),
        "ADDRESS": ("Bitte schicken Sie es an {}.", "Seit März wohne ich in der {}.", "Die alte Adresse war {}."),
        "IBAN": ("Bitte überweisen Sie es auf {}.", "Das Konto ist {}."),
        "CARD": ("Bezahlt habe ich mit {}.", "Die Kartennummer lautet {}."),
        "PHONE": ("Sie erreichen mich unter {}.", "Meine Nummer ist {}."),
        "EMAIL": ("Schreiben Sie an {}.", "Meine E-Mail lautet {}."),
        "ID": ("Meine Steuer-ID ist {}.", "In der Steuererklärung steht die IdNr. {}."),
        "ACCOUNT": ("Meine Kontonummer ist {}.", "Kundennummer: {}"),
        "IP": ("Der Zugriff kam von {}.",),
        "SECRET": ("Das Passwort ist {}.", "Passwort: {}"),
    },
    "es": {
        "PERSON": (
            "¿Podría recibir {} también una copia?",
            "La semana pasada hablé con {} de esto.",
            "El formulario lo rellenó {}.",
            "{} recogerá el paquete.",
        ),
        "ADDRESS": ("Envíelo a {}, por favor.", "Desde marzo vivo en {}."),
        "IBAN": ("Haga la devolución a {}.", "La cuenta es {}."),
        "CARD": ("Pagué con {}.", "El número de la tarjeta es {}."),
        "PHONE": ("Me puede llamar al {}.", "Mi teléfono es {}."),
        "EMAIL": ("Escriba a {}.", "Mi correo es {}."),
        "ID": ("Mi DNI es {}.", "En el contrato figura el DNI {}."),
        "ACCOUNT": ("Mi número de cuenta es {}.",),
        "IP": ("El acceso vino de {}.",),
        "SECRET": ("La contraseña es {}.", "clave: {}"),
    },
}
"""By language and type. `{!r}` puts quotes around the value."""
DECOYS: dict[str, tuple[str, ...]] = {
    "en": (
        "Order {n} was due on 14 March.",
        "It costs 1 299,00 EUR for 24 months.",
        "The invoice {n} is from 2023-11-05.",
        "See section 4 on page 17 of the Standard Terms.",
        "Version 2.14.3 runs on Ubuntu 22.04.",
        "I ordered 3 blue chairs and 12 glasses.",
        "The March release fixed ticket {n}.",
        "Is the Gold card free for the first 12 months?",
        "We met on Monday at 10:30.",
        "The password must have 12 characters and a digit.",
        "Parcel {n} left Monday.",
    ),
    "de": (
        "Die Bestellung {n} war für den 14. März zugesagt.",
        "Das kostet 1.299,00 EUR für 24 Monate.",
        "Die Rechnung {n} ist vom 05.11.2023.",
        "Siehe Abschnitt 4 auf Seite 17 der Bedingungen.",
        "Ich habe 3 blaue Stühle und 12 Gläser bestellt.",
        "Am Montag um 10.30 Uhr war niemand da.",
        "Das Passwort muss 12 Zeichen haben.",
    ),
    "es": (
        "El pedido {n} tenía que llegar el 14 de marzo.",
        "Cuesta 1.299,00 EUR por 24 meses.",
        "La factura {n} es del 05/11/2023.",
        "Vea el apartado 4 en la página 17.",
        "Pedí 3 sillas azules y 12 vasos.",
        "El lunes a las 10:30 no había nadie.",
        "La contraseña debe tener 12 caracteres.",
    ),
}
"""Sentences with nobody's data in them; {n} is a number of six figures."""
