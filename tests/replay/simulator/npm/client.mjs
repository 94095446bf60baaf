// Alpaca's SDK for Node against the simulator at argv[2]: what it makes of the answers, as one JSON object.
import { streaming, trading } from "@alpacahq/alpaca-trade-api";

const address = process.argv[2];
const keys = { keyId: "test-key", secret: "test-secret" };
const configuration = new trading.Configuration({ basePath: address, ...keys });
const orders = new trading.OrdersApi(configuration);

const updates = [];
const stream = new streaming.TradingStream({
  url: `${address.replace("http", "ws")}/stream`,
  credentials: keys,
  reconnect: false,
});
const filled = new Promise((resolve, reject) => {
  stream.onError(reject);
  stream.onTradeUpdate((update) => {
    updates.push([update.event, update.order.clientOrderId, update.qty ?? null, update.positionQty ?? null]);
    if (update.event === "fill") resolve();
  });
});
const listening = new Promise((resolve) => stream.on(streaming.EVENT.SUBSCRIPTION, resolve));
stream.subscribeTradeUpdates();
stream.connect();
const streams = await listening;
await orders.postOrder({
  postOrderRequest: { symbol: "AAPL", qty: "2", side: "buy", type: "market", timeInForce: "day", clientOrderId: "mine" },
});
await filled;
stream.disconnect();

const listed = await orders.getAllOrders({ status: "all", assetClass: ["us_equity", "crypto"] });
const watchlists = new trading.WatchlistsApi(configuration);
const made = await watchlists.postWatchlist({ createWatchlistRequest: { name: "mine", symbols: ["AAPL"] } });
await watchlists.addAssetToWatchlistByName({ name: "mine", addAssetToWatchlistRequest: { symbol: "KO" } });
const kept = await watchlists.getWatchlistById({ watchlistId: made.id });
const history = await new trading.PortfolioHistoryApi(configuration).getAccountPortfolioHistory({ period: "1D", timeframe: "1H" });
const { clocks } = await new trading.ClockApi(configuration).clock({ markets: "NYSE,NASDAQ" });
const { calendar } = await new trading.CalendarApi(configuration).calendar({ market: "NYSE" });
console.log(JSON.stringify({
  streams,
  updates,
  orders: listed.map((order) => order.clientOrderId),
  watchlist: kept.assets.map((asset) => asset.symbol),
  history: history.equity.length === history.timestamp.length && history.timeframe,
  clocks: clocks.map((clock) => [clock.market.acronym, clock.phase]),
  sessions: calendar.length > 0,
}));
