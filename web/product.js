// One product: its line, its page for those who were let in, and the order.
//
// A join is only ever sent by the button: a reload, a second tab or a poll must not move anybody.
import { ask, endLogin, freshKey, isLoggedIn, login, logout, memory, onClock, now } from './shared/api.js';
import { count, duration, moment, money, waitRange } from './shared/format.js';
import { fill, text } from './shared/text.js';

const productId = Number(new URLSearchParams(location.search).get('id'));
const find = (id) => document.getElementById(id);
const queue = `/api/queue/${productId}`;
const pass = memory(`pass:${productId}`);
const placed = memory(`order:${productId}`);
const orderKey = memory(`key:${productId}`);
// An order in one of these states does not change any more.
const DONE = ['rejected', 'expired', 'cancelled', 'failed', 'paid', 'refunded'];
const CAN_JOIN = ['none', 'left', 'expired', 'soldOut', 'completed'];

let summary;
let pollTimer;
let orderTimer;

function say(message) {
  find('message').textContent = message ?? '';
}

function onlyWhen(id, isShown) {
  find(id).hidden = !isShown;
}

/** Runs what a person asked for: one at a time, its failure in plain words. */
async function act(button, what) {
  button.disabled = true;
  say('');
  try {
    await what();
  } catch (problem) {
    failed(problem);
  } finally {
    button.disabled = false;
  }
}

function failed(problem) {
  if (problem.status === 401) {
    endLogin();
    showLogin();
  }
  say(problem.code && text.has(`problem.${problem.code}`) ? text(`problem.${problem.code}`) : problem.message);
}

function showLogin() {
  clearTimeout(pollTimer);
  onlyWhen('login', true);
  onlyWhen('logout', false);
  for (const id of ['line', 'product', 'order']) onlyWhen(id, false);
}

/** Asks for the place now, and again when the server says. */
async function poll() {
  clearTimeout(pollTimer);
  let pause = 5000;
  try {
    const place = await ask('GET', queue);
    pause = Math.max(1000, Date.parse(place.nextPollAt) - Date.parse(place.serverTime));
    await show(place);
  } catch (problem) {
    failed(problem);
    if (problem.retryAfterS) pause = problem.retryAfterS * 1000;
  }
  // A crowd that asks at the same moment is spread by up to a tenth.
  if (isLoggedIn()) pollTimer = setTimeout(poll, pause * (1 + Math.random() / 10));
}

async function show(place) {
  onlyWhen('line', true);
  const state = text(`line.${place.state}`);
  // Said aloud only when it changes: a live region repeats everything that is written into it.
  if (find('state').textContent !== state) find('state').textContent = state;
  find('reason').textContent = place.reason ? text(`reason.${place.reason}`) : '';
  find('operator').textContent = place.message ?? '';
  onlyWhen('operator', Boolean(place.message));
  const isWaiting = place.state === 'waiting';
  onlyWhen('place', isWaiting && place.rank !== undefined);
  onlyWhen('keep', isWaiting);
  onlyWhen('join', CAN_JOIN.includes(place.state) && summary.state !== 'ended');
  onlyWhen('leave', isWaiting || place.state === 'ready');
  if (isWaiting && place.rank !== undefined) {
    find('rank').textContent = count(place.rank);
    find('ahead').textContent = count(place.ahead);
    find('total').textContent = count(place.total);
    find('eta').textContent = waitRange(place.etaLowS, place.etaHighS);
  }
  document.title = isWaiting && place.rank ? `${count(place.rank)} · ${summary.productName}` : summary.productName;
  const until = isWaiting ? place.startsAt : undefined;
  tick('countdown', until, (left) => text('line.starts', { left }));
  if (place.state === 'ready') {
    await claim();
  } else if (place.state === 'admitted') {
    if (place.token) pass.write({ token: place.token, expiresAt: place.expiresAt });
    await (pass.read() ? showProduct() : claim());
  } else {
    pass.clear();
    onlyWhen('product', false);
  }
}

/** Takes the access token: one's turn lasts a minute or two, so the page does not wait for a click. */
async function claim() {
  pass.write(await ask('POST', `${queue}/token`));
  await poll();
}

async function showProduct() {
  const right = pass.read();
  tick('right', right.expiresAt, (left) => text('buy.until', { left }));
  if (!find('product').hidden) return;
  const product = await ask('GET', `/api/products/${productId}`, { passes: [right.token] });
  find('description').textContent = product.description;
  find('stock').textContent = text('buy.stock', { count: count(product.stock) });
  const options = product.productOptions.map((option) => {
    const extra = option.optionPrice === 0 ? '' : ` (+${money(option.optionPrice)})`;
    const choice = document.createElement('option');
    choice.value = option.optionId;
    choice.textContent = `${option.optionName}: ${option.optionValue}${extra}`;
    return choice;
  });
  const form = find('buy');
  form.elements.optionId.replaceChildren(...options);
  onlyWhen('option-label', options.length > 0);
  form.elements.quantity.max = product.purchaseLimit;
  onlyWhen('product', true);
  if (!placed.read()) find('product').scrollIntoView();
}

async function order() {
  const form = find('buy').elements;
  const line = { productId, quantity: Number(form.quantity.value) };
  if (form.optionId.value) line.optionId = Number(form.optionId.value);
  // The key lives until the order is answered: a second try after a lost answer gives the same order.
  const body = JSON.stringify(line);
  const known = orderKey.read();
  const key = known?.body === body ? known.key : freshKey();
  orderKey.write({ key, body });
  const made = await ask('POST', '/api/orders', {
    body: { lines: [line] },
    key,
    passes: [pass.read().token],
  });
  orderKey.clear();
  placed.write({ orderId: made.orderId });
  await follow();
}

/** Shows the order and asks for it again until it does not change any more. */
async function follow() {
  clearTimeout(orderTimer);
  const known = placed.read();
  if (!known) return;
  try {
    const order = await ask('GET', `/api/orders/${known.orderId}`);
    onlyWhen('order', true);
    const reason = order.reason ? ` ${text(`refusal.${order.reason}`)}` : '';
    const state = text(`order.${order.state}`) + reason;
    if (find('order-state').textContent !== state) find('order-state').textContent = state;
    find('order-sum').textContent = money(order.totalPrice);
    onlyWhen('order-payment', order.state === 'reserved');
    const until = order.state === 'reserved' ? order.expiresAt : undefined;
    tick('order-timer', until, (left) => text('order.until', { left }));
    if (!DONE.includes(order.state)) orderTimer = setTimeout(follow, order.state === 'received' ? 1000 : 5000);
  } catch (problem) {
    if ([403, 404].includes(problem.status)) placed.clear();
    failed(problem);
  }
}

const ends = new Map();

/** Counts down to `end` by the server's clock; without an end the place is empty. */
function tick(id, end, words) {
  ends.set(id, { end: end ? Date.parse(end) : undefined, words });
  write(id);
}

function write(id) {
  const { end, words } = ends.get(id);
  const left = end === undefined ? 0 : end - now();
  find(id).textContent = left > 0 ? words(duration(left)) : '';
}

async function start() {
  fill();
  onClock(() => [...ends.keys()].forEach(write));
  summary = await ask('GET', `/api/products/${productId}/summary`);
  document.title = summary.productName;
  find('name').textContent = summary.productName;
  const window = `${moment(summary.saleStartTime)} – ${moment(summary.saleEndTime)}`;
  find('sale').textContent = `${money(summary.discountedPrice)} · ${text(`sale.${summary.state}`)} · ${window}`;

  find('login').addEventListener('submit', (event) => {
    event.preventDefault();
    const form = event.target.elements;
    act(event.submitter, async () => {
      await login(form.loginId.value, form.password.value);
      form.password.value = '';
      await enter();
    });
  });
  find('logout').addEventListener('click', () => {
    logout();
    showLogin();
  });
  find('join').addEventListener('click', (event) => {
    act(event.target, async () => {
      await show(await ask('POST', queue, { key: freshKey() }));
      await poll();
    });
  });
  find('leave').addEventListener('click', (event) => {
    act(event.target, async () => {
      await ask('DELETE', queue);
      await poll();
    });
  });
  find('buy').addEventListener('submit', (event) => {
    event.preventDefault();
    act(event.submitter, order);
  });
  await (isLoggedIn() ? enter() : showLogin());
}

async function enter() {
  onlyWhen('login', false);
  onlyWhen('logout', true);
  await poll();
  await follow();
}

start().catch(failed);
