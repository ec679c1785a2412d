"""What people say when they are done, in the languages we know it in: patterns without accents, in small letters.

`LEAVE_TAKING` are thanks and farewells, `ACCOMPANIMENT` is what may stand beside them: success, praise, a greeting. A
greeting that also begins a message ("bom dia", "ciao") is only ever an accompaniment. A "yes" is none: it answers a
question.
"""

from typing import Final

_PRAISE: Final = (
    "amazing|awesome|brilliant|excellent|fantastic|fast|friendly|good|great|kind|lovely|nice|perfect|prompt|quick|"
    "speedy|super|swift|wonderful"
)
_WHAT_WE_GAVE: Final = "advice|answer|assistance|effort|explanation|help|patience|reply|response|service|support|time"
_THE_TROUBLE: Final = "error|issue|matter|problem|trouble"
_DE_GAVE: Final = (
    "antwort|auskunft|erklarung|geduld|hilfe|info|infos|information|informationen|muhe|ruckmeldung|service|"
    "unterstutzung|zeit"
)
_FR_GAVE: Final = "aide|assistance|efficacite|patience|rapidite|reactivite|reponse|retour|service|soutien|temps"
_ES_GAVE: Final = "amabilidad|apoyo|atencion|ayuda|informacion|paciencia|rapidez|respuesta|servicio|tiempo"
_IT_GAVE: Final = "aiuto|assistenza|attenzione|pazienza|risposta|supporto|tempo|disponibilita"
_NL_GAVE: Final = "antwoord|geduld|hulp|informatie|info|moeite|ondersteuning|reactie|service|tijd|uitleg"
_PT_GAVE: Final = "ajuda|apoio|atencao|atendimento|paciencia|rapidez|resposta|retorno|suporte|tempo"

LEAVE_TAKING: Final = (
    # English
    rf"""
      (?:many\ |much\ )?(?:thanks|thank\ (?:you|u)|thankyou|thx|tks|tysm|ty|cheers|ta)
      (?:\ (?:(?:so|very)\ much|a\ (?:lot|million|ton)|lots|again|all|everyone|team|both))*
      (?:\ for\ (?:(?:all|of|the|your|a|such|very|so|really|{_PRAISE})\ )*
         (?:{_WHAT_WE_GAVE}|everything|all|helping(?:\ me)?(?:\ out)?))?
    | (?:(?:i|we)\ )?(?:(?:really|truly|very|much|so)\ )*appreciated?(?:\ (?:it|that|this))?
      (?:\ (?:all\ )?(?:the|your)\ (?:(?:{_PRAISE})\ )*(?:{_WHAT_WE_GAVE}))?
    | (?:good\ ?)?bye(?:\ bye)?(?:\ (?:for\ )?now)?
    | have\ an?\ (?:(?:very|{_PRAISE})\ )*(?:rest\ of\ (?:your|the)\ )?(?:day|evening|night|weekend|week|one)
    | take\ care | see\ you
    """,
    # German
    rf"""
      (?:(?:vielen|herzlichen|besten|lieben|tausend)\ (?:lieben\ )?dank
         |danke?(?:\ (?:schon|sehr|vielmals|bestens))?|dankeschon)
      (?:\ (?:dir|ihnen|euch|nochmals?|noch\ mal|an\ alle))*
      (?:\ fur\ (?:(?:die|den|das|ihre|ihren|eure|deine|so|sehr|schnelle|super|tolle|gute|nette|prompte|rasche
                    |freundliche)\ )*
         (?:{_DE_GAVE}|alles))?
    | tschuss?i? | auf\ wiedersehen | bis\ (?:bald|dann|zum\ nachsten\ mal)
    | (?:(?:ich\ )?wunsche\ (?:ihnen|dir|euch)\ )?(?:noch\ )?(?:einen?\ )?schone[ns]?
      \ (?:tag|abend|feierabend|wochenende|woche)(?:\ noch)?
    """,
    # French
    rf"""
      (?:mille\ |un\ grand\ |grand\ )?mercis?
      (?:\ (?:beaucoup|bien|infiniment|encore|a\ vous|a\ toi|a\ tous|a\ toute\ lequipe|mille\ fois))*
      (?:\ pour\ (?:(?:votre|ton|ta|la|le|cette|de|tres|rapide|super|precieuse|grande|bonne)\ )*
         (?:l?(?:{_FR_GAVE})|tout))?
    | (?:je\ )?vous\ remercie(?:\ (?:beaucoup|infiniment))?
    | au\ revoir | a\ bientot | (?:excellente|bonne|belle)\ (?:fin\ de\ )?(?:journee|soiree|continuation|semaine|nuit)
    | bon\ week\ ?end
    """,
    # Spanish
    rf"""
      (?:(?:muchas|muchisimas|mil)\ )?gracias(?:\ (?:de\ nuevo|otra\ vez|a\ todos|a\ ustedes|de\ verdad))*
      (?:\ por\ (?:(?:la|el|su|tu|vuestra|tan|rapida|gran|excelente|buena|toda)\ )*(?:{_ES_GAVE}|todo))?
    | (?:se\ )?lo\ agradezco(?:\ mucho)? | adios | hasta\ (?:luego|pronto|la\ proxima)
    | (?:que\ )?(?:tengan?|tengas|pasen?)\ (?:un\ )?(?:buen|excelente|feliz|lindo)\ (?:dia|fin\ de\ semana|tarde)
    """,
    # Italian
    rf"""
      (?:(?:tante|mille|molte)\ )?grazie
      (?:\ (?:mille|infinite|tante|ancora|davvero|a\ tutti|a\ voi|di\ tutto|di\ cuore))*
      (?:\ per\ (?:(?:il|la|lo|vostro|vostra|tuo|tua|suo|sua|rapida|rapido|veloce|ottima|ottimo)\ )*
         (?:l?(?:{_IT_GAVE})|tutto))?
    | (?:vi|la|ti)\ ringrazio(?:\ (?:molto|tanto))? | arrivederci | a\ presto
    | buona\ (?:giornata|serata|notte|continuazione) | buon\ (?:week\ ?end|fine\ settimana|lavoro)
    """,
    # Dutch
    rf"""
      (?:(?:heel|erg|hartelijk|ontzettend|nogmaals)\ )*bedankt(?:\ (?:nogmaals|allemaal))?
      (?:\ voor\ (?:(?:de|het|je|uw|jullie|snelle|goede|fijne|duidelijke|alle)\ )*(?:{_NL_GAVE}|alles))?
    | (?:(?:heel\ erg|hartelijk|veel)\ )?(?:dank(?:\ (?:je|u|jullie))?(?:\ wel)?|dankje(?:wel)?|dankuwel)
      (?:\ voor\ (?:(?:de|het|je|uw|jullie|snelle|goede|fijne|duidelijke|alle)\ )*(?:{_NL_GAVE}|alles))?
    | tot\ ziens | doei | fijne\ (?:dag|avond|week)(?:\ (?:nog|verder))? | (?:fijn|prettig)\ weekend
    """,
    # Portuguese
    rf"""
      (?:muito\ )?obrigad[oa](?:\ (?:mesmo|mais\ uma\ vez|novamente|de\ novo|a\ todos))*
      (?:\ (?:pela|pelo|por)\ (?:(?:sua|seu|toda|todo|rapida|otimo|excelente)\ )*(?:{_PT_GAVE}|tudo))?
    | (?:agradeco|valeu)(?:\ (?:muito|mesmo|demais))? | tchau | ate\ (?:logo|mais|breve)
    | tenham?\ (?:um\ |uma\ )?(?:bo[ma]|otim[oa]|excelente)\ (?:dia|tarde|noite|semana|fim\ de\ semana)
    """,
)
ACCOMPANIMENT: Final = (
    # English
    rf"""
      (?:(?:it|its|that|thats|this|everything|all|(?:the|my)\ (?:{_THE_TROUBLE}))\ )?
      (?:(?:has|is|seems|now|all|been|just|really|totally|completely)\ )*
      (?:solved|fixed|resolved|sorted|worked|works|working|helped|did\ the\ trick)
      (?:\ (?:it|this|that|everything|(?:the|my)\ (?:{_THE_TROUBLE})|me|perfectly|fine|great|well|now|a\ lot))*
    | (?:(?:its|thats|that\ is|this\ is|all|everything\ is|very|really|so|just)\ )*
      (?:{_PRAISE}|helpful|set)(?:\ (?:now|stuff|news|job|work|{_WHAT_WE_GAVE}))?
    | (?:you\ are|youre|you\ guys\ are)\ (?:the\ best|a\ star|{_PRAISE})
    | (?:best|kind|warm)\ (?:regards|wishes) | regards | ok | okay | alright | and | all\ the\ best
    """,
    # German
    r"""
      (?:(?:es|das|jetzt|nun|alles)\ )*(?:klappt|funktioniert|geht|lauft|passt)
      (?:\ (?:jetzt|nun|wieder|alles|prima|super|einwandfrei|perfekt|bestens))*
    | (?:(?:das|mein)\ )?(?:(?:problem|thema|es|alles)\ )?(?:(?:ist|hat|hat\ sich|wurde|jetzt|nun|damit|somit)\ )*
      (?:gelost|erledigt|behoben|geklart|funktioniert|geholfen|geklappt)
    | (?:das\ )?(?:hat\ )?(?:mir\ )?(?:sehr\ )?geholfen
    | super | perfekt | prima | toll | klasse | wunderbar | genial | top | alles\ klar | sehr\ (?:gut|nett) | und
    | (?:mit\ )?(?:freundliche[nm]?|viele[n]?|liebe[n]?|beste[n]?|herzliche[n]?)\ (?:gru(?:ss|sse|ssen)) | lg | mfg | vg
    """,
    # French
    r"""
      (?:(?:cest|ca|cela|tout|maintenant|le\ probleme|mon\ probleme)\ )*(?:est\ )?
      (?:marche|fonctionne|regle|resolu|bon|parfait|nickel|rentre\ dans\ lordre)
      (?:\ (?:maintenant|bien|parfaitement|a\ nouveau|tres\ bien))*
    | super | genial | impeccable | top | tres\ bien | excellent | daccord | et
    | (?:tres\ )?cordialement | bien\ a\ vous | bien\ cordialement
    """,
    # Spanish
    r"""
      (?:(?:ya|ahora|todo|me|el\ problema|mi\ problema|problema|esta|quedo|ha\ quedado)\ )*
      (?:funciona|funciono|resuelto|solucionado|arreglado|sirvio)
      (?:\ (?:bien|perfectamente|perfecto|ahora|ya|todo))*
    | perfecto | genial | excelente | estupendo | (?:son|eres|es)?\ ?muy\ amables? | vale | listo | muy\ bien | y
    | saludos\ cordiales | (?:un\ )?(?:(?:cordial|atento)\ )?saludos?
    | buen(?:as|os)?\ (?:dia|dias|tardes|noches) | feliz\ dia
    """,
    # Italian
    r"""
      (?:(?:ora|adesso|tutto|il\ problema|problema|e|si\ e)\ )*(?:funziona|risolto|sistemato|a\ posto)
      (?:\ (?:bene|perfettamente|tutto|ora|adesso))*
    | perfetto | ottimo | benissimo | fantastico | va\ bene | gentilissim[iao] | ciao
    | (?:cordiali\ |distinti\ |un\ )?saluti?
    """,
    # Dutch
    r"""
      (?:(?:het|alles|nu|probleem|is|inmiddels)\ )*(?:werkt|doet\ het|opgelost|gelukt)
      (?:\ (?:nu|weer|goed|prima|perfect|helemaal))*
    | top | prima | super | helemaal\ goed | fijn | mooi | oke | en
    | (?:met\ )?(?:vriendelijke|hartelijke)\ groet(?:en)? | groet(?:en|jes)? | mvg
    """,
    # Portuguese
    r"""
      (?:(?:ja|agora|tudo|o\ problema|problema|foi|esta|ficou)\ )*
      (?:funcionou|funciona|funcionando|resolvido|deu\ certo|certo)
      (?:\ (?:agora|bem|perfeitamente|tudo))*
    | (?:otimo|excelente)\ atendimento | perfeito | otimo | maravilha | beleza | show | e
    | atenciosamente | (?:um\ )?abracos? | bom\ dia | boa\ (?:tarde|noite) | bom\ fim\ de\ semana
    """,
)
