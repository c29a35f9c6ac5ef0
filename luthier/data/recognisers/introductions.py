"""How people say who they are, in the languages of Europe, as regular expressions. Tables only."""

from __future__ import annotations

import re

from luthier.data.recognisers.hit import UP, one_line

TOKEN = rf"{UP}[\w'’´]*+(?:-{UP}[\w'’´]*+)*+"
"""One word of a name."""
PARTICLE = one_line(
    r"""
    (?:von der|von dem|von|vom|van der|van den|van de|van|zu|zur|de la|de los|de las|de|del|della|di|da|do|dos|das
    |du|le|la|el|al|bin|ibn|ter|ten|af|av|und zu)
    """
)
NAME = rf"{TOKEN}(?:(?:(?<!\w\w)\. ?| {PARTICLE} | ){TOKEN}){{0,4}}"
"""A name: capitalised words, particles between them, and full stops behind initials only."""
FULL = rf"{TOKEN}(?:(?:(?<!\w\w)\. ?| {PARTICLE} | ){TOKEN}){{1,3}}"
"""A name of two words or more."""
PARTICLES = re.compile(
    "von|vom|van|zu|zur|der|den|dem|de|la|los|las|del|della|di|da|do|dos|das|du|le|el|al|bin|ibn|ter|ten|af|av", re.I
)
"""One word of a particle."""
TITLE = one_line(
    r"""
    (?:(?i:mr|mrs|ms|miss|mx|dr|prof|professor|sir|dame|lord|lady|rev|capt|captain|herrn|herr|frau|familie
    |dipl\.-ing|señor|señora|señorita|sr|sra|srta|don|doña|doctora?|monsieur|madame|mademoiselle|mme|mlle|signora?
    |dott|dottoressa|meneer|mevrouw|mijnheer|dhr|mevr|pan|pani|senhora?))\.?
    """
)
"""Titles, which are no part of the name."""
STRONG = one_line(
    r"""
    my (?:full |first |last |sur)?name(?: is|'s|:)|the name(?: is|'s)|name(?:[’']s| is)|call me|on behalf of
    |in the name of|account ?holder(?: is|:)?|card ?holder(?: is|:)?|beneficiary(?: is|:)?|payee(?: is|:)?
    |(?:first |last |full |sur)?name:|signed(?: by)?:?|speaking with|spoke (?:to|with)|attn\.?:?
    |mein (?:voller )?name(?: ist| lautet|:)|ich hei(?:ß|ss)e(?: übrigens)?|im namen von|auf den namen|lautend auf
    |kontoinhaber(?:in)?(?: ist|:)?
    |karteninhaber(?:in)?(?: ist|:)?|empfänger(?: ist|:)|hier spricht|am apparat ist|me llamo
    |mi nombre(?: completo)? es|mi nombre:|nombre:|a nombre de|en nombre de|(?:el|la) titular(?: es|:)|titular:
    |le habla|les habla|beneficiari[oa](?: es|:)|je m['’]appelle|mon nom est|au nom de|mi chiamo|il mio nome è
    |a nome di|mijn naam is|ik heet|namens|meu nome é|me chamo|chamo-me|em nome de|nazywam się|mam na imię
    """
)
"""Words that are followed by a name and hardly by anything else."""
WEAK = one_line(
    r"""
    i am|i['’]m|this is|it['’]?s|here is|ich bin(?: die| der)?|hier ist|hier|soy|aquí|habla|je suis|sono|ik ben|sou
    |my (?:husband|wife|daughter|son|mother|father|brother|sister|partner|friend|colleague|boss|neighbou?r|flatmate
    |landlord|tenant|uncle|aunt)(?:['’]s name is|,| is)?|mein(?:e|em|en|er)? (?:mann|frau|tochter|sohn|mutter|vater
    |bruder|schwester|partner|partnerin|freund(?:in)?|kolleg(?:e|en|in)|chef(?:in)?|nachbar(?:n|in)?
    |vermieter(?:in)?)(?: heißt|,)?
    |mi (?:marido|mujer|esposa|esposo|hija|hijo|madre|padre|hermana|hermano|pareja|amiga|amigo|jefa|jefe|casero
    |vecina|vecino)(?: se llama|,)?
    """
)
"""Words that are often followed by a name: it has to look like one."""
GREETING = one_line(
    r"""
    hi|hello|hey|dear|good (?:morning|afternoon|evening)|thanks|thank you|hallo|guten (?:tag|morgen|abend)|moin
    |servus|grüezi|liebe[r]?|danke|hola|buenos días|buenas tardes|estimad[oa]|querid[oa]|gracias|bonjour|cher|chère
    |merci|ciao|buongiorno|gentile|grazie|beste|dag|olá
    """
)
SIGNOFF = one_line(
    r"""
    (?:kind |best |warm |many )?regards|best wishes|best|sincerely|yours(?: sincerely| faithfully| truly)?|cheers
    |thanks(?: a lot| so much| in advance)?|thank you(?: very much| so much| in advance)?|many thanks
    |(?:mit )?(?:freundlichen|besten|lieben|herzlichen|vielen) grüßen|(?:viele|beste|liebe|herzliche|schöne) grüße
    |mfg|lg|vg|gruß|vielen dank(?: im voraus)?|besten dank|danke(?: schön)?(?: im voraus)?|un saludo
    |(?:muchos |cordiales )?saludos(?: cordiales)?|atentamente|muchas gracias|gracias(?: de antemano)?|cordialement
    |merci(?: beaucoup| d'avance)?|cordiali saluti|grazie(?: mille)?|met vriendelijke groet(?:en)?
    """
)
IDENTIFIED = one_line(
    r"""
    (?=(?i:iban|card|debit|credit|account|acc\.|phone|tel\b|mobile|e-?mail|born|dob|karte|konto|kunden|geb\.|geboren
    |handy|tarjeta|cuenta|tel[eé]fono|m[oó]vil|correo|nacid)|[A-Z]{2}\d\d ?\w|\+?\(?\d[\d ()/-]{7,}|[\w.+-]+@\w)
    """
)
"""What stands behind a name when somebody says who they are: a number, an address, or the word for one."""
BEHIND = r"speaking|here|calling|hier|am apparat|al habla|al aparato"
"""Words behind a name that was just introduced."""
