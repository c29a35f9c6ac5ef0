"""The words that addresses are made of, in the languages of Europe, as regular expressions. Tables only."""

from __future__ import annotations

from luthier.data.recognisers.hit import UP, one_line

WORD = rf"(?:{UP}[\w'’\-]{{0,3}}\.|{UP}[\w'’\-]*+)"
"""A capitalised word; a full stop only behind a short one, so that no address runs into the next sentence."""
LINK = one_line(
    r"""
    (?:(?:de l|dell|d|l)['’]|(?:de la|de las|de los|del|della|delle|dei|degli|des|de|du|do|da|dos|das|of|the|la|le
    |les|el|y|e|i|am|an|der|den|dem|zum|zur|van|von|ten|ter|op|och|na|nad|pod)(?!\w))
    """
)
"""What joins the words of a street or town."""
ENGLISH = one_line(
    r"""
    (?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Way|Place|Pl|Square|Sq|Terrace|Close
    |Crescent|Cres|Gardens|Grove|Parkway|Pkwy|Highway|Hwy|Mews|Hill|Row|Walk|Green|Quay|Wharf|Circle|Cir|Trail|Trl
    |Loop|Alley|Pike|Turnpike|Parade|Vale|Heights|View|Rise|Esplanade|Lodge|Bypass)\.?(?![\w'])
    """
)
"""Kinds of street that stand behind the name: Mill Lane."""
GERMANIC = one_line(
    rf"""
    {UP}[\w\-]{{0,40}}(?:stra(?:ß|ss)e|str\.|str(?=\s\d)|gasse|gässli|wegli|weg|allee|platz|damm|ufer|steig|stieg|pfad|chaussee
    |promenade|graben|kai|laan|straat|plein|kade|gracht|dreef|steenweg|singel|hof|lei|baan|pad|v[äe]gen|v[äe]g|gatan
    |gata|gaten|gate|gränd|torget|stigen|veien|veg|vei|vej|gade|all[eé]|stræde|plads|toften|parken|vænget|bakken
    |vang|katu|kuja|polku|tori|rinne|kaari|raitti|tie|puistotie|götu|gata|stígur|vegur|braut|tún|tun|bær|holt)
    """
)
"""Kinds of street that the name is grown together with: Mühlweg, Storgatan, Mannerheimintie."""
BEHIND = one_line(
    r"""
    (?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|[Gg]asse|[Ww]eg|[Aa]llee|[Pp]latz|[Dd]amm|[Uu]fer|[Rr]ing|utca|u\.|útja|út|tér
    |körút|terrasse|gate|gata|vei|veg|vej|väg|plass|plads|plats|backe|laan|straat|plein|wei|ulice|nám\.|náměstí|trg|tee|tänav|mnt|pst|cesta|ulica)
    """
)
"""Kinds of street that stand behind the name as a word of their own: Lange Straße, Kossuth Lajos utca."""
BEFORE = one_line(
    r"""
    (?:[Rr]ue|[Aa]venue|Av\.?|Avda\.?|[Aa]venida|Avinguda|[Bb]oulevard|Bd\.?|[Cc]alle|C/|Cl\.|Carrer|Plaza|Pza\.?
    |Plaça|Paseo|Pº|Ronda|Rambla|Camino|Carretera|Ctra\.?|Traves[ií]a|Urbanización|Barrio|Glorieta|[Vv]ia|[Vv]iale
    |[Cc]orso|[Pp]iazzale|[Pp]iazzetta|[Pp]iazza|[Vv]icolo|Largo|[Ss]trada|[Rr]ua|R[uú]a|R\.|Travessa|Praça|Alameda
    |Estrada|Quinta|[Cc]hemin|[Rr]oute|Impasse|[Aa]llée|[Pp]lace|[Qq]uai|[Cc]ours|[Ss]quare|Passage|Faubourg|[Uu]l\.
    |[Uu]lica|[Aa]l\.|[Aa]leja|[Oo]s\.|[Pp]l\.|[Pp]lac|Bulevardul|Bd\.|Str\.|Aleea|Calea)
    """
)
"""Kinds of street that stand before the name: Calle Mayor, rue de la Paix, ul. Polna."""
PLACED = one_line(
    r"""
    (?:Am|An der|An den|Auf der|Auf dem|Auf den|Bei der|Beim|Hinter den|Hinter dem|Hinter der|Im|In den|In der
    |Neben der|Ober der|Unter den|Unter der|Vor dem|Zum|Zur)
    """
)
"""How German streets begin that are named for where they lie: Am Markt, Hinter den Gärten."""
POSTCODE = one_line(
    r"""
    (?:(?:[A-Z]{1,2}-)?\d{5}(?:-\d{3,4})?|(?:[A-Z]{1,2}-)?\d{4}(?:\s?[A-Z]{2})?|\d{3}\s\d{2}|\d{2}-\d{3}
    |[A-Z]{1,2}\d[A-Z\d]?\s?\d[A-Z]{2}|[A-Z]\d[A-Z]\s?\d[A-Z]\d)(?![\w-])
    """
)
TOWN = one_line(
    rf"""
    (?:(?:St\. )?{UP}[\w'’\-]*+(?:(?: |-| (?:{LINK} ){{1,2}}| (?:bei|im|ob der|sur|upon|on) )
    {UP}[\w'’\-]*+){{0,4}}(?: \([^()\n]{{1,30}}\))?)
    """
)
"""A town of up to five words."""
INSIDE = one_line(
    r"""
    (?:(?:Apartment|Apt|Appt|App|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Top|Stiege|Wohnung|Whg|Etage|Stock|OG|Piso
    |Puerta|Pta|Esc(?:alera)?|Bloque|Portal|Interno|Int|Bte|Bus|Lejl|Lgh|apt|suite|unit|flat|floor|piso|puerta
    |escalera)\.?\s?(?:#|[Nn]o\.?\s?|[Nn]r\.?\s?)?\w{1,5}(?![\w])|\d{1,2}[ºª°](?:\s?[A-Za-z](?!\w)|\s(?:izq|dcha
    |drcha|izda)\w*\.?)?|\d\. (?:OG|Stock|Etage))
    """
)
"""A flat, floor or door."""
FLAT = r"(?:Apartment|Apt|Suite|Ste|Unit|Flat)\.?\s?(?:#|[Nn]o\.?\s?)?\w{1,5}(?!\w)"
"""A flat by words that stand in addresses and hardly anywhere else."""
HUNGARIAN = r"(?:utcája|utca|útja|út|tere|tér|körút|köz|sétány|rakpart|u\.)"
"""Kinds of street of Hungarian addresses, whose names may have a word without a capital: Árpád fejedelem útja."""
COUNTRY = one_line(
    r"""
    (?:United Kingdom|Great Britain|England|Scotland|Wales|Northern Ireland|Ireland|UK|United States(?: of America)?
    |USA|Canada|Australia|New Zealand|South Africa|India|Brazil|Mexico|Argentina|Chile|Uruguay|Germany|Deutschland
    |Austria|Österreich|Switzerland|Schweiz|Suiza|Suisse|France|Frankreich|Francia|Spain|España|Spanien|Portugal
    |Italy|Italien|Italia|Netherlands|Niederlande|Belgium|Belgien|Luxembourg|Luxemburg|Denmark|Dänemark|Norway
    |Norwegen|Sweden|Schweden|Finland|Finnland|Iceland|Estonia|Latvia|Lithuania|Poland|Polen|Polonia|Czech Republic
    |Czechia|Slovakia|Slovenia|Hungary|Ungarn|Romania|Bulgaria|Croatia|Serbia|Greece|Cyprus|Malta|Turkey|Türkei
    |Japan|China|Singapore)(?!\w)
    """
)
BOX = one_line(
    rf"""
    (?:(?:P\.?\s?O\.?\s?Box|Post ?Box|Postfach|Apartado(?: de correos)?|Boîte postale|B\.?P\.|Casella postale|Postbus
    |Boks|PSC|Unit|HC|CMR)\s\d[\d ]{{0,6}}(?:,?\s(?:Box)\s\d{{1,5}})?|US[NSC][SVG]?[SV]?\s{WORD})
    """
)
"""A box at a post office, a unit or a ship."""
