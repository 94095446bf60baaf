"""Order terms under other names: the names of people, brokers and venues for the fields of an intent.

A column of one of these names is meant to change the order: so it is refused instead of kept as metadata.
Names are written as their sources write them and compared without case and separators. Sources: FIX 4.4 field
names; the order entry documents of Alpaca, Interactive Brokers, Schwab, Tradier, Tradovate, Oanda,
MetaTrader, Binance and ccxt; QuantConnect, Zipline and Backtrader; what people write in spreadsheets.

Not here, hence metadata: times of signals and bars, prices of the market (``last_price``, ``mid``,
``bid``),
scores, weights, classifications, the names of desks and portfolios.
"""

from __future__ import annotations

SYNONYMS = {
    "client_intent_id": """
        id intent_id client_id client_order_id clOrdID cl_order_id client_ref client_reference
        client_order_ref client_oid newClientOrderId order_id ordId order_ref order_reference order_link_id
        order_no order_number order_tag order_key external_id ext_id perm_id trade_id idempotency_key
        customer_order_id user_order_id custom_id
    """,
    "strategy_id": """
        strategy strategies strategy_name strategy_code strategy_key strat strat_id strat_name algo_id
        algorithm_id bot_id magic magic_number
    """,
    "broker_account_id": """
        account_alias acct_alias
        clearing_account
        account accounts acct acc account_id acct_id acc_id account_no account_nr account_num account_number
        acct_no acct_number account_name acct_name account_code account_key account_ref account_spec
        broker_account broker_acct broker_account_no broker_account_number brokerage_account trading_account
        trade_account client_account sub_account sub_account_id alloc_account fa_account fa_group
        portfolio_account
    """,
    "symbol": """
        isin cusip figi sedol wkn valoren con_id con_id_ex cl_con_id security_id_source
        id_source
        symbol_sfx security_desc underlying underlying_symbol option_symbol occ_symbol
        ticker tickers tkr tick_symbol ticker_symbol sym symbols symb smbl symbol_code symbol_id
        instrument instruments instrument_id security securities security_id security_symbol
        stock stock_symbol stock_code asset asset_id asset_symbol pair currency_pair ccy_pair
        trading_pair market_symbol local_symbol root_symbol contract contract_id contract_symbol product
        product_id epic ric bloomberg_ticker bbg_ticker coin
    """,
    "side": """
        dir pos_side
        mkt_side buy_flag sell_flag buy_or_sell_flag
        sides sdie order_side trade_side deal_side direction order_direction trade_direction buy_sell
        buy_or_sell buysell_indicator bs bs_flag buy_sell_flag is_buy is_sell is_long is_short long_short
        long_or_short side_code verb instruction order_action trade_action transaction transaction_type
        trade_type short_sell short_sale sell_short cmd order_cmd 54 tag54
    """,
    "qty": """
        sz n_contracts
        shs share_qty no_of_shares num_of_shares tgt_qty tgt_shares qty_delta order_sz
        total_shares qty_total qty_to_buy qty_to_sell buy_qty sell_qty fx_qty ratio_qty last_qty
        trade_shares lot_count
        quantity quantities quan qnty qtty qtys qyt qt order_qty ordQty order_quantity trade_qty
        trade_quantity total_quantity total_qty base_qty base_quantity quantity_shares shares share
        num_shares
        nr_shares no_shares n_shares number_of_shares share_count shares_count size sizes order_size
        trade_size lot lots lot_size units unit order_units contracts num_contracts position_size
        position_qty
        order_volume vol_lots qty_shares shares_to_buy shares_to_sell nominal menge stueck 38 tag38
        target_qty target_quantity target_shares target_position delta_shares signed_qty
    """,
    "qty, in shares, or notional, in USD": """
        amount amt order_amount trade_amount order_amt
    """,
    "notional": """
        usd usd_amt dollars_amt
        target_notional notional_target usd_notional usd_size value_usd amount_to_invest dollars_to_invest
        order_usd
        notional_value notional_amount notional_amt dollars dollar_amount dollar_value usd_amount amount_usd
        cash_amount cash_qty cashOrderQty quote_qty quoteOrderQty quote_size quote_amount order_value
        order_notional investment invest_amount
    """,
    "asset_class": """
        asset_type sec_type security_type instrument_type instrument_class product_type product_class
        asset_category symbol_type
    """,
    "order_type": """
        otyp is_mkt at_market mkt_or_limit
        type_order limit_type order_method exec_method execution_method price_mode market_limit mkt
        order_leg_type stop_type trailing_type execution_style exec_style limit_order market_order
        stop_order stop_limit_order trailing_stop_order is_limit is_market is_stop limit_or_market
        market_or_limit mkt_or_lmt lmt_or_mkt
        stop_limit 423 tag423
        type types ord_type otype order_kind kind_of_order order_style price_type pricing_type exec_type
        execution_type type_of_order typ auftragsart tipo_orden 40 tag40
    """,
    "time_in_force": """
        at_open at_close open_only auction_only opg gtx
        is_day is_day_order day_only gtc_order good_for_day gfd gtc_flag is_gtc
        good_till_canceled good_till_cancelled good_til_canceled good_til_cancelled
        tif time_in_forces time_force force duration order_duration validity validity_type order_validity
        good_for time_condition order_term type_time timeInForceType gtc day_order moo moc loo loc on_open
        on_close market_on_open market_on_close limit_on_open limit_on_close 59 tag59
    """,
    "limit_price, or reference_price where it is for comparing": """
        price prices px prc order_price order_px price_per_share unit_price
    """,
    "limit_price": """
        lp lpx limpx lim_p limit_p best_price best_px best_limit buy_px sell_px px_max px_min
        at_limit
        limit_at upper_limit lower_limit hi_limit lo_limit lmt_offset limit_off limit_bps limit_ticks
        limit_pips
        collar_bps max_chase chase_limit chase_bps not_worse_than
        limit_buy limit_sell cap_price cap_px max_entry_price entry_price_max min_exit_price exit_price_min
        buy_below buy_at sell_above sell_at entry_below entry_above worst_acceptable_price acceptable_price
        reservation_price limit_entry_price limit_exit_price price_to_pay max_pay max_bid min_ask collar
        price_collar price_tolerance max_slip max_slippage_bps max_slippage_pct max_deviation_bps
        max_price_deviation
        max_px min_px worst_px ceiling floor pay_up_to not_above not_below no_worse_than at_or_better
        lowest_price highest_price max_buy_price min_sell_price entry_px entry_limit limit_entry exit_px
        exit_limit
        nbbo_price_cap price_max price_min limit_rate_price strike_limit
        lmt lmt_price lmt_px limit limits limit_px limit_prc lim lim_price limit_level price_limit price_lmt
        at_price entry entry_price buy_price sell_price bid_limit max_price min_price worst_price
        price_bound
        max_slippage slippage_tolerance slippage_limit limit_rate px_limit price_cap buy_limit sell_limit
        limit_price_cents limit_price_in_usd l_price limit_offset lmtPriceOffset price_ceiling price_floor
        limitpreis prix_limite precio_limite prezzo_limite 44 tag44
    """,
    "stop_price": """
        stpx stp_px stop_p stop_trig trig activation activation_px invalidation_price invalidate_at
        breakeven_stop be_stop stop_bps stop_pips stop_points stop_pts stop_ticks stop_dist
        stop_at stop_out stop_out_price hard_stop soft_stop stop_value stop_val initial_stop atr_stop
        stop_atr disaster_stop catastrophic_stop
        stop_distance stop_offset stop_pct stop_percent stop_price_offset starting_price
        stop stops stop_px stp stp_price stop_level stop_trigger stop_limit_stop price_stop trigger triggers
        adjustedStopPrice 99 tag99
        trigger_price trigger_px trig_price aux_price activation_price activate_price price2 stop_rate
    """,
    "trail_price": """
        trailing_sl trail_sl trail_pips trail_dist
        tsl trail_pts trail_points trail_ticks hwm
        trail trailing trail_amount trail_amt trailing_amount trailing_amt trailing_price trail_stop_price
        trailing_stop_price trail_offset trailing_offset trail_distance trailing_distance trailing_delta
        trail_value trail_dollars trailing_stop trail_stop trailing_stop_loss trail_by
    """,
    "trail_percent": """
        tsl_pct
        trail_pct trailing_pct trail_perc trailing_percent trailing_percentage trail_percentage
        percent_trail
        percent_offset trail_bps callback_rate trail_ratio
    """,
    "extended_hours": """
        outside_regular_trading_hours trading_hours
        session trading_session trading_session_id sessions_allowed
        ext_hours ext_hrs extended ext_hour extended_hour extended_trading extended_session outside_rth rth
        regular_hours regular_hours_only rth_only eth after_hours pre_market post_market trade_extended
        allow_extended extended_hours_trading overnight
    """,
    "order_class": """
        complex_order_strategy_type osos
        class_of_order order_group_type bracket is_bracket order_strategy_type complex_order_type
        contingency_type oco oto
    """,
    "take_profit_limit_price": """
        pt target_px tgt tgt_price tgt_px pt_price pt_px pt_pct tp_pips tp_points tp_pts tp_ticks tp_bps
        tp_dist tp_distance tp_atr
        profit_taking profit_take_price
        tp_pct tp_percent take_profit_pct take_profit_percent
        take_profit take_profit_price take_profit_px take_profit_limit take_profit_level tp tp_price tp_px
        tp_limit tp_limit_price tp_level profit_target profit_price target target_price price_target
        profit_taker exit_price exit_limit_price take_profit_on_fill
    """,
    "stop_loss_stop_price": """
        hard_sl soft_sl initial_sl loss_limit max_loss sl_pips sl_points sl_pts sl_ticks sl_bps sl_dist
        sl_distance
        sl_atr
        sl_pct sl_percent stop_loss_percent
        stop_loss stop_loss_price stop_loss_px stop_loss_level stop_loss_stop stop_loss_trigger sl sl_price
        sl_px sl_stop sl_stop_price sl_level sl_trigger protective_stop exit_stop_price stop_loss_on_fill
        stop_loss_pct
    """,
    "stop_loss_limit_price": """
        stop_loss_limit sl_limit sl_limit_price stop_loss_limit_px
    """,
    "estimated_slippage": """
        slippage est_slippage expected_slippage slippage_estimate slippage_est
    """,
    "reference_price": """
        ref_price ref_px reference_px ref_prc arrival_price decision_price benchmark_price
    """,
    "created_at": """
        created creation creation_time created_time create_time created_on created_ts created_utc
        created_date
        creation_date create_date create_ts transact_time time_created date_created
    """,
    "valid_until": """
        kill_by done_by good_by until_time valid exp_ts expires_ts gtt_date
        live_until active_until valid_date valid_day valid_secs valid_minutes valid_seconds good_for_minutes
        expires_at_utc cancel_if_not_filled cancel_if_unfilled_by
        until exp exp_date exp_dt exp_time expiry_dt expiration_dt expire_dt expires_dt valid_for
        good_for_days good_for_seconds
        good_for_s kill_after kill_time kill_at timeout_ms ttl_ms ttl_seconds lifetime_s auto_cancel_date
        auto_cancel_parent end_time end_at
        valid_till_time valid_til_time valid_until_time 126 tag126 432 tag432 62 tag62
        valid_till valid_til valid_to valid_thru valid_through valid_before validity_date validity_time
        expires expire expired expires_at expires_on expires_in expire_at expire_time expire_date expiry
        expiry_time expiry_ts expiry_at expiration expiration_time expires_utc good_till good_til good_until
        good_thru good_through good_till_date good_til_date good_till_time good_till_cancel gtd gtt gtd_date
        gtd_time ttl ttl_s time_to_live cancel_at cancel_after cancel_time cancel_by auto_cancel deadline
        do_not_send_after max_age max_age_s lifetime timeout timeout_s not_after
    """,
    "action": """
        actions cancel cancels is_cancel cancel_order cancel_flag intent_action order_request msg_type
        message_type exec_trans_type modify replace amend
    """,
    "target_intent_id": """
        target_id target_order_id cancel_id cancel_order_id cancel_intent_id orig_id orig_order_id
        original_order_id orig_client_order_id orig_cl_ord_id replaces replace_id replaces_id
    """,
}
"""Other names of a field, by the field (or the words that name the choice of fields)."""

WITHOUT_FIELD = """
    exit_by exit_at exit_on exit_before exit_after close_by close_at close_on flat_by flat_at flatten_by
    flatten_at
    out_by liquidate_by liquidate_at send_time send_after when_to_send nbf gat dest exec_venue execution_venue
    urgency aggressiveness peg_bps test
    start_time start_at begin_time route routing order_route destination ex_destination
    requested_destination
    destination_link_name advanced_options market_activation_rules time_activation_rules book_only
    add_liquidity
    non_display discretionary_price discretion_inst peg_value peg_offset_value price_link_basis
    price_link_type
    stop_price_link_basis stop_price_link_type tax_lot_method special_instruction special_instructions
    order_instructions execution_instructions exec_instructions release_time quantity_type order_capacity
    locate_reqd cash_margin use_adaptive use_price_mgmt_algo strategy_parameters hedge_type hedge_param
    scale_init_level_size scale_subs_level_size scale_price_increment fa_method fa_percentage
    allocation_method
    settling_firm soft_dollar_tier post_to_ats min_trade_qty manual_order_time is_ccy_conv to_symbol
    deactivated inactive active is_active no_trade do_not_trade requires_approval needs_approval
    manual_review
    condition conditions conditional contingent contingent_on order_condition order_conditions if_price
    replacing_order_collection 18 tag18 110 tag110 111 tag111 168 tag168 211 tag211 388 tag388 389 tag389
    77 tag77 152 tag152
    order orders order_details order_params order_terms exec_params execution_params
    position_intent position_effect open_close open_or_close offset_flag to_open to_close closing
    close_position close_only reduce_only reducing_only post_only maker_only hidden is_hidden iceberg
    iceberg_qty display_qty display_size disclosed_qty max_floor max_show visible_qty min_qty minimum_qty
    min_fill all_or_none aon fill_or_kill exec_inst handl_inst peg peg_offset peg_price peg_type
    peg_difference offset_price discretion discretionary_amt discretion_offset discretionary_amount
    sweep_to_fill not_held block_order parent parent_id parent_order_id oca_group oca_type linked_order
    linked_order_id oco_group oco_id child_orders childOrderStrategies legs leg order_leg_collection
    advanced_instructions attached_orders transmit algo_strategy algo_params algo twap exec_algo
    execution_algo algo_name min_fill_qty allow_partial allow_partial_fill partial_fill
    participation_rate
    good_after_time good_after not_before valid_from active_from activate_at effective_time send_at
    submit_at
    execute_at execute_after release_at schedule_at scheduled_at scheduled_time leverage margin_type
    marginMode td_mode trade_mode isolated side_effect_type borrow is_margin strike strike_price put_call
    put_or_call call_put option_type option_right expiration_date expiry_date contract_month
    lastTradeDateOrContractMonth maturity maturity_date maturity_month_year multiplier contract_multiplier
    dry_run what_if is_test test_order test_mode simulate simulated simulation validate_only paper
    paper_trade
    paper_trading is_paper live is_live preview_only enabled disabled skip do_not_send no_send hold_order
    on_hold pending_approval approved work_price stp_mode self_trade_prevention selfTradePreventionMode
    stop_price_type trigger_method trigger_type working_type price_protect trigger_by trigger_condition
"""
"""Order terms without a field: the engine doesn't support them."""

FREE = """
    trade_price trade_percent spot_price created_by order_time train_price national auction training
    contrast contacts severity mid_price quantile ex_date ex_dates shares_float
"""
"""Names that look like misspelt fields and are not."""

PHRASES = {
    "limit_price": "limit_price price_limit",
    "stop_price": "stop_price price_stop trigger_price price_trigger",
    "trail_price": "trail_price trail_amount trail_offset trail_distance trail_stop",
    "trail_percent": "trail_percent percent_trail",
    "order_type": "order_type",
    "time_in_force": "time_in_force tif gtc gtd ioc fok good_for",
    "valid_until": "valid_until good_until",
    "extended_hours": "extended_hours outside_rth",
    "order_class": "order_class",
    "take_profit_limit_price": "take_profit profit_target",
    "stop_loss_stop_price": "stop_loss",
    "qty": "order_qty",
    "notional": "order_notional",
}
"""Words that are an order term anywhere in a name, as in ``params_limit_price_str``."""

SAME_WORD = {
    "limit": "lmt lim",
    "price": "px prc prices",
    "stop": "stp stops",
    "trail": "trailing",
    "trigger": "trig",
    "percent": "pct perc percentage",
    "amount": "amt",
    "qty": "quantity quantities",
    "order": "ord orders",
    "type": "typ types kind",
    "hours": "hrs hour",
    "extended": "ext",
    "until": "til till thru through to",
}
"""Other spellings of these words."""

ABOUT_A_TERM = """
    source reason reasons note notes comment comments why model version hash origin author rationale
"""
"""Last words of names that speak about an order term, such as ``limit_price_source``."""

IN_FRONT = """
    order ord intent my tag fix param params opt opts desired wanted requested proposed suggested intended
"""
BEHIND = """
    usd eur gbp dollars cents x y left right old new str string txt text code flag num int float dec decimal
    fmt enum rounded adj param
"""
"""Words before and after a name that don't change its meaning."""

CURRENCY = """
    currency currencies ccy curr currency_code currency_iso order_currency trade_currency price_currency
    quote_currency settlement_currency base_currency waehrung wahrung devise moneda valuta moeda 15 tag15
"""
DOLLARS = "usd us$ $ usdollar"
"""Names for the currency of prices and amounts, and the only accepted one."""
