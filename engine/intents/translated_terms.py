"""Order terms in other languages written in Latin letters, by field; accents don't count.

Sources: order tickets of brokers in German, French, Spanish, Portuguese, Italian, Dutch, Polish, Swedish,
Danish, Norwegian, Finnish, Turkish, Czech, Indonesian and Vietnamese. Names in other scripts are refused
without a table.
"""

from __future__ import annotations

TRANSLATED = {
    "broker_account_id": """
        konto kontonummer depot depotnummer depotnr cuenta numero_cuenta compte numero_compte conta conto
        numero_conto rekening rekeningnummer hesap ucet rachunek tili
    """,
    "symbol": """
        simbolo symbole symboli sembol wertpapier wertpapiername instrumento strumento titolo titulo titre
        valeur aktie activo ativo effect papier waarde fondsname kod_papieru
    """,
    "side": """
        seite richtung kauf_verkauf kauf_oder_verkauf kaufen_verkaufen orderrichtung auftragsrichtung
        geschaeftsart geschaftsart lado direccion compra_venta compra_o_venta sentido sens achat_vente
        achat_ou_vente direcao compra_venda lato direzione acquisto_vendita koop_verkoop kant strona
        kierunek kupno_sprzedaz kop_salg kop_salj kob_salg sida osto_myynti yon alis_satis smer
    """,
    "qty": """
        anzahl stuckzahl stueckzahl stucke ordermenge auftragsmenge anteile nennwert grosse groesse
        ordergrosse cantidad numero_acciones acciones titulos tamano quantite nombre_actions nombre_titres
        taille quantidade tamanho quantita numero_azioni hoeveelheid aantal aantal_aandelen ilosc liczba
        liczba_akcji antal antall maara kpl miktar adet mnozstvi pocet jumlah so_luong
    """,
    "notional": """
        betrag orderbetrag ordervolumen anlagebetrag importe monto montant montante importo bedrag kwota
        belopp belob tutar castka
    """,
    "order_type": """
        orderart ordertyp auftragstyp orderzusatz tipo tipo_orden tipo_de_orden tipo_ordem tipo_de_ordem
        tipo_ordine tipo_di_ordine type_ordre type_d_ordre type_de_ordre soort_order ordersoort typ_zlecenia
        rodzaj_zlecenia ordretype emir_tipi toimeksiantotyyppi typ_prikazu
    """,
    "time_in_force": """
        gultigkeit gueltigkeit gultigkeitsdauer laufzeit vigencia validez validite duree validade validita
        durata geldigheid looptijd waznosc gyldighet giltighet gyldighed voimassaolo gecerlilik platnost
    """,
    "valid_until": """
        gultig_bis gueltig_bis verfall verfallsdatum ablaufdatum ablauf valido_hasta vencimiento
        fecha_vencimiento caducidad valable_jusqu_au valable_jusque echeance date_validite date_expiration
        valido_ate vencimento valido_fino_al valido_fino_a scadenza data_scadenza geldig_tot vervaldatum
        wazne_do data_waznosci gyldig_til giltig_till gecerlilik_tarihi platne_do
    """,
    "limit_price, or reference_price where it is for comparing": """
        preis kurs orderpreis precio prix cours preco prezzo prijs koers cena kurz pris hinta fiyat harga
        gia precio_orden
    """,
    "limit_price": """
        limitkurs limitpreis limitwert preislimit kurslimit hochstkurs mindestkurs hochstpreis limite
        limite_precio precio_maximo precio_minimo prix_limite cours_limite limite_prix prix_max prix_min
        preco_limite prezzo_limite limite_prezzo limiet limietprijs limietkoers prijslimiet cena_limit
        limit_ceny limitpris rajahinta limit_fiyat limitni_cena
    """,
    "stop_price": """
        stopp stoppkurs stopkurs stoppreis stopppreis stopplimit auslosekurs ausloser precio_stop
        precio_de_stop precio_activacion prix_stop seuil seuil_declenchement declencheur preco_stop
        preco_de_disparo prezzo_stop stopprijs stopkoers cena_stop cena_aktywacji stoppris stop_fiyat
    """,
    "stop_loss_stop_price": "verlustbegrenzung perte_max limite_perdita",
    "take_profit_limit_price": "gewinnziel kursziel toma_de_ganancias prise_de_benefice obiettivo koersdoel",
    "action": "stornieren storno stornierung cancelar annuler annulation anular annulla annuleren anuluj",
}
"""Names by the field, or the choice of fields, that they mean."""
